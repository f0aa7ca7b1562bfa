/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/config/address.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>

#define HOST_MAX  253
#define LABEL_MAX 63
#define PATH_MAX_ 107 /* of sun_path, without its NUL */

#define TLS_SCHEME   "https://"
#define PLAIN_SCHEME "http://"
#define UNIX_SCHEME  "unix:"

#define BAD_HOST  "names no host; write https://HOST:PORT"
#define BAD_PORT  "has no port from 1 to 65535 behind the colon"
#define BAD_TAIL  "goes on behind host and port; leave the rest out, paths are not part of it"
#define BAD_USER  "holds an '@'; leave user and password out, [Login] says how to log in"
#define NOT_LOCAL "is plain http to another host than 127.0.0.1 and [::1]; write https://"
#define BAD_PATH  "has no absolute path of a socket, of 107 bytes at most; write unix:/PATH"
#define NO_SCHEME "is no address; write https://HOST:PORT"

/* What stands behind the scheme; NULL when it is another one. */
static const char *behind(const char *text, const char *scheme)
{
        size_t n = strlen(scheme);

        return strncmp(text, scheme, n) == 0 ? text + n : NULL;
}

static bool labels_valid(const char *text)
{
        size_t n = 0; /* of this label */

        for (const char *c = text; *c; c++) {
                bool at_rim = n == 0 || !c[1] || c[1] == '.';

                if (*c == '.' && n == 0)
                        return false;
                if (*c != '.' && !isalnum((unsigned char)*c) && (*c != '-' || at_rim))
                        return false;
                n = *c == '.' ? 0 : n + 1;
                if (n > LABEL_MAX)
                        return false;
        }
        return n > 0;
}

bool kb_host_valid(const char *text)
{
        struct in6_addr address;

        if (!*text || strlen(text) > HOST_MAX)
                return false;
        if (inet_pton(AF_INET6, text, &address) == 1 || inet_pton(AF_INET, text, &address) == 1)
                return true;
        /* digits and dots alone are an address that was mistyped, and the resolver would make one of it */
        return text[strspn(text, "0123456789.")] && labels_valid(text);
}

static bool is_loopback(const char *host)
{
        struct in6_addr address;
        struct in_addr narrow;

        if (inet_pton(AF_INET, host, &narrow) == 1)
                return (ntohl(narrow.s_addr) >> 24) == 127;
        return inet_pton(AF_INET6, host, &address) == 1 && IN6_IS_ADDR_LOOPBACK(&address);
}

static bool port_valid(const char *text)
{
        unsigned port = 0;
        size_t n = strspn(text, "0123456789");

        if (n == 0 || n > 5 || text[n])
                return false;
        for (; *text; text++)
                port = port * 10 + (unsigned)(*text - '0');
        return port >= 1 && port <= 65535;
}

/* HOST or [HOST], and :PORT */
static const char *judge_server(const char *text, bool local)
{
        bool brackets = *text == '[';
        size_t n = strcspn(text += brackets, brackets ? "]" : ":/?#");
        const char *port = text + n + (brackets && text[n]);
        char host[KB_ADDRESS_MAX + 1] = "";

        if (strchr(text, '@'))
                return BAD_USER;
        memcpy(host, text, n); /* the whole is not longer than that */
        if ((brackets && !text[n]) || brackets != (strchr(host, ':') != NULL) || !kb_host_valid(host))
                return BAD_HOST;
        if (*port && *port != ':')
                return BAD_TAIL;
        if (*port && port[1 + strspn(port + 1, "0123456789")] && strpbrk(port, "/?#"))
                return BAD_TAIL;
        if (*port && !port_valid(port + 1))
                return BAD_PORT;
        return local && !is_loopback(host) ? NOT_LOCAL : NULL;
}

const char *kb_address_judge(const char *text)
{
        const char *rest;

        if (strlen(text) > KB_ADDRESS_MAX)
                return NO_SCHEME;
        if ((rest = behind(text, TLS_SCHEME)))
                return judge_server(rest, false);
        if ((rest = behind(text, PLAIN_SCHEME)))
                return judge_server(rest, true);
        if ((rest = behind(text, UNIX_SCHEME)))
                return rest[0] == '/' && rest[1] && rest[1] != '/' && strlen(rest) <= PATH_MAX_ ? NULL
                                                                                                : BAD_PATH;
        return NO_SCHEME;
}

bool kb_address_is_plain(const char *text)
{
        return !behind(text, TLS_SCHEME);
}
