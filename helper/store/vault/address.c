/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/vault/address.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#define DEFAULT_PORT 8200

static const struct {
        enum kb_scheme scheme;
        const char *prefix;
        bool plain;
} schemes[] = {
        {KB_SCHEME_HTTPS, "https://", false},
        {KB_SCHEME_HTTP, "http://", true},
        {KB_SCHEME_UNIX, "unix:", true},
};

/* A name of letters, digits, '-' and '.', or an address of the internet, IPv6 in brackets. */
static bool host_valid(const char *host)
{
        size_t n = strlen(host);
        char inner[KB_ADDRESS_HOST_MAX + 3];
        struct in6_addr in6;

        if (host[0] == '[') {
                if (n < 2 || host[n - 1] != ']')
                        return false;
                snprintf(inner, sizeof(inner), "%.*s", (int)(n - 2), host + 1);
                return inet_pton(AF_INET6, inner, &in6) == 1;
        }
        return n > 0 && host[0] != '-' && host[0] != '.' &&
               strspn(host, "abcdefghijklmnopqrstuvwxyz0123456789-.") == n && !strstr(host, "..");
}

static bool host_is_here(const char *host)
{
        struct in_addr in;

        return strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0 ||
               (inet_pton(AF_INET, host, &in) == 1 && ntohl(in.s_addr) >> 24 == 127);
}

/* ":8200" or nothing; false for anything else. */
static bool port_of(const char *text, size_t size, uint16_t *ret)
{
        unsigned port = 0;

        *ret = DEFAULT_PORT;
        if (size == 0)
                return true;
        if (text[0] != ':' || size == 1 || size > 6)
                return false;
        for (size_t i = 1; i < size; i++) {
                if (text[i] < '0' || text[i] > '9')
                        return false;
                port = port * 10 + (unsigned)(text[i] - '0');
        }
        *ret = (uint16_t)port;
        return port > 0 && port <= UINT16_MAX;
}

/* Behind the scheme, up to `size`: host and port. */
static bool authority(const char *text, size_t size, struct kb_address *ret)
{
        const char *bracket = size > 0 && text[0] == '[' ? memchr(text, ']', size) : NULL;
        const char *from = bracket ? bracket : text;
        const char *colon = memchr(from, ':', size - (size_t)(from - text));
        size_t n = colon ? (size_t)(colon - text) : size;

        if (n > KB_ADDRESS_HOST_MAX)
                return false;
        for (size_t i = 0; i < n; i++)
                ret->host[i] = (char)tolower((unsigned char)text[i]);
        ret->host[n] = '\0';
        return host_valid(ret->host) && port_of(text + n, size - n, &ret->port);
}

static bool socket_path(const char *path, struct kb_address *ret)
{
        struct sockaddr_un address;

        if (path[0] != '/' || strlen(path) >= sizeof(address.sun_path))
                return false;
        snprintf(ret->host, sizeof(ret->host), "%s", path);
        return true;
}

/* The scheme that text begins with and what stands behind it; -1 when it is none of ours. */
static int scheme_of(const char *text, const char **ret_rest)
{
        for (size_t i = 0; i < KB_ARRAY_SIZE(schemes); i++) {
                size_t n = strlen(schemes[i].prefix);

                if (strncasecmp(text, schemes[i].prefix, n) == 0) {
                        *ret_rest = text + n;
                        return (int)i;
                }
        }
        return -1;
}

enum kb_error kb_address_parse(const char *text, bool plain, struct kb_address *ret,
                               struct kb_problem *problem)
{
        struct kb_address made = {.port = 0};
        const char *rest = "";
        int i = scheme_of(text, &rest);
        size_t n = strlen(rest);
        bool good;

        if (i < 0)
                return kb_problem(problem, KB_E_BAD_REQUEST, "%.200s: an address begins with https://",
                                  text);
        made.scheme = schemes[i].scheme;
        if (made.scheme == KB_SCHEME_UNIX)
                good = socket_path(rest, &made);
        else
                good = authority(rest, n > 0 && rest[n - 1] == '/' ? n - 1 : n, &made);
        if (!good)
                return kb_problem(problem, KB_E_BAD_REQUEST,
                                  "%.200s: not an address: it is a host and a port, and nothing behind them",
                                  text);
        if (schemes[i].plain && !plain)
                return kb_problem(problem, KB_E_BAD_REQUEST,
                                  "%.200s: not encrypted, and nobody has allowed that", text);
        if (made.scheme == KB_SCHEME_HTTP && !host_is_here(made.host))
                return kb_problem(problem, KB_E_BAD_REQUEST,
                                  "%.200s: not encrypted, and not this host: use https://", text);
        *ret = made;
        return kb_problem(problem, KB_E_OK, "%s", "");
}

void kb_address_url(const struct kb_address *address, char *ret, size_t size)
{
        if (address->scheme == KB_SCHEME_UNIX)
                snprintf(ret, size, "http://localhost");
        else
                kb_address_text(address, ret, size);
}

void kb_address_text(const struct kb_address *address, char *ret, size_t size)
{
        if (address->scheme == KB_SCHEME_UNIX)
                snprintf(ret, size, "unix:%s", address->host);
        else
                snprintf(ret, size, "%s%s:%u", schemes[address->scheme].prefix, address->host,
                         address->port);
}

int kb_address_find(const struct kb_address *addresses, size_t n, const char *location)
{
        struct kb_address hint = {.port = 0};
        const char *rest = "";
        int scheme = scheme_of(location, &rest);

        if (scheme < 0 || schemes[scheme].scheme == KB_SCHEME_UNIX ||
            !authority(rest, strcspn(rest, "/?#"), &hint))
                return -1;
        for (size_t i = 0; i < n; i++)
                if (addresses[i].scheme == schemes[scheme].scheme && addresses[i].port == hint.port &&
                    strcmp(addresses[i].host, hint.host) == 0)
                        return (int)i;
        return -1;
}
