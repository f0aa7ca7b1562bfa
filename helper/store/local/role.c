/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/local/role.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "common/names.h"

#define DNS_MAX  253
#define LIST_MAX 65536

/* --- what a name may look like --- */

/* RFC 1123 2.1: labels of letters, digits and inner dashes. Lower case only: whoever calls has lowered it.
 */
static bool dns_valid(const char *name)
{
        size_t label = 0;

        if (!*name || strlen(name) > DNS_MAX)
                return false;
        for (const char *c = name; *c; c++) {
                if (*c == '.' || *c == '-') {
                        if (label == 0 || (*c == '.' && c[-1] == '-'))
                                return false;
                        label = *c == '.' ? 0 : label + 1;
                } else if ((*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9'))
                        label++;
                else
                        return false;
                if (label > 63)
                        return false;
        }
        return label > 0 && name[strlen(name) - 1] != '-';
}

static bool domains_valid(const char *value)
{
        char word[DNS_MAX + 1];

        while (kb_next_word(&value, word, sizeof(word)))
                if (!dns_valid(word))
                        return false;
        return true;
}

static bool common_name_valid(const char *value)
{
        return kb_text_valid(value) && strlen(value) <= 64; /* RFC 5280: ub-common-name */
}

const struct kb_attribute kb_role_attributes[] = {
        {"ca", kb_name_word_valid, "default", "the name of a CA"},
        {"domains", domains_valid, "", "DNS names in lower case, separated by blanks"},
        {"subdomains", kb_attribute_yes_no, "no", "yes or no: names below those domains too"},
        {"any-name", kb_attribute_yes_no, "no", "yes or no: whatever DNS name is asked for"},
        {"ips", kb_attribute_yes_no, "no", "yes or no: whatever IP address is asked for"},
        {"uris", kb_attribute_words, "", "globs of URIs, separated by blanks"},
        {"server", kb_attribute_yes_no, "yes", "yes or no: for TLS servers"},
        {"client", kb_attribute_yes_no, "yes", "yes or no: for TLS clients"},
        {"ttl", kb_attribute_duration, "24h", "a duration, such as 24h"},
        {"max-ttl", kb_attribute_duration, "72h", "a duration, such as 72h"},
        {"common-name", common_name_valid, "", "a name of at most 64 bytes, for when none is asked for"},
};
const size_t kb_role_attributes_size = KB_ARRAY_SIZE(kb_role_attributes);

static const char *get(const struct kb_object *role, const char *name)
{
        return kb_object_text(role, name,
                              kb_attribute_preset(kb_role_attributes, kb_role_attributes_size, name));
}

static bool is(const struct kb_object *role, const char *name)
{
        return strcmp(get(role, name), "yes") == 0;
}

/* --- what the role permits --- */

static bool permits_dns(const struct kb_object *role, const char *name)
{
        const char *at = get(role, "domains");
        char domain[DNS_MAX + 1];
        size_t n = strlen(name);

        if (is(role, "any-name"))
                return true;
        while (kb_next_word(&at, domain, sizeof(domain))) {
                size_t m = strlen(domain);

                if (strcmp(domain, name) == 0)
                        return true;
                if (is(role, "subdomains") && n > m + 1 && name[n - m - 1] == '.' &&
                    strcmp(name + n - m, domain) == 0)
                        return true;
        }
        return false;
}

static bool permits_uri(const struct kb_object *role, const char *uri)
{
        const char *at = get(role, "uris");
        char glob[512];

        while (kb_next_word(&at, glob, sizeof(glob)))
                if (glob[0] && kb_name_matches(glob, uri))
                        return true;
        return false;
}

static enum kb_error add_dns(const struct kb_object *role, const char *name, struct kb_role_request *q,
                             struct kb_problem *problem)
{
        char lower[DNS_MAX + 1];
        size_t n = 0;

        for (; name[n] && n < sizeof(lower) - 1; n++)
                lower[n] = (char)tolower((unsigned char)name[n]);
        lower[n] = '\0';
        if (name[n] || !dns_valid(lower))
                return kb_problem(problem, KB_E_BAD_REQUEST, "%.255s is not a DNS name", name);
        if (!permits_dns(role, lower))
                return kb_problem(problem, KB_E_DENIED, "role %s does not permit the name %s", role->name,
                                  lower);
        kb_list_add_string(&q->dns, lower);
        return KB_E_OK;
}

static enum kb_error add_ip(const struct kb_object *role, const char *text, struct kb_role_request *q,
                            struct kb_problem *problem)
{
        uint8_t address[16];

        if (inet_pton(AF_INET, text, address) != 1 && inet_pton(AF_INET6, text, address) != 1)
                return kb_problem(problem, KB_E_BAD_REQUEST, "%.255s is not an IP address", text);
        if (!is(role, "ips"))
                return kb_problem(problem, KB_E_DENIED, "role %s does not permit IP addresses", role->name);
        kb_list_add_string(&q->ip, text);
        return KB_E_OK;
}

static enum kb_error add_uri(const struct kb_object *role, const char *uri, struct kb_role_request *q,
                             struct kb_problem *problem)
{
        if (!uri[0] || !kb_text_valid(uri))
                return kb_problem(problem, KB_E_BAD_REQUEST, "a URI is empty, too long, or no text");
        if (!permits_uri(role, uri))
                return kb_problem(problem, KB_E_DENIED, "role %s does not permit the URI %.255s", role->name,
                                  uri);
        kb_list_add_string(&q->uri, uri);
        return KB_E_OK;
}

static enum kb_error add_each(const struct kb_object *role, const char *words, struct kb_role_request *q,
                              enum kb_error (*add)(const struct kb_object *role, const char *word,
                                                   struct kb_role_request *q, struct kb_problem *problem),
                              struct kb_problem *problem)
{
        enum kb_error error = KB_E_OK;
        char word[512];

        while (error == KB_E_OK && kb_next_word(&words, word, sizeof(word)))
                error = add(role, word, q, problem);
        return error;
}

/* A common name that looks like a host's name is one, and has to be permitted as one; else it must be the
 * role's. */
static enum kb_error judge_common_name(const struct kb_object *role, const char *asked,
                                       struct kb_role_request *q, struct kb_problem *problem)
{
        const char *own = get(role, "common-name");
        const char *name = asked[0] ? asked : own;
        struct kb_list seen;
        const char *dns;

        if (!common_name_valid(name))
                return kb_problem(problem, KB_E_BAD_REQUEST, "common_name is text of at most 64 bytes");
        snprintf(q->common_name, sizeof(q->common_name), "%s", name);
        if (!name[0] || strcmp(name, own) == 0)
                return KB_E_OK;
        seen = kb_list_built(&q->dns);
        while (kb_list_next_string(&seen, &dns))
                if (strcasecmp(dns, name) == 0)
                        return KB_E_OK;
        return add_dns(role, name, q, problem);
}

static enum kb_error judge_ttl(const struct kb_object *role, const char *asked, struct kb_role_request *q,
                               struct kb_problem *problem)
{
        uint64_t most = kb_duration_seconds(get(role, "max-ttl"));

        q->ttl = kb_duration_seconds(asked[0] ? asked : get(role, "ttl"));
        if (q->ttl == 0)
                return kb_problem(problem, KB_E_BAD_REQUEST, "ttl is a duration, such as 24h");
        if (q->ttl > most && asked[0])
                return kb_problem(problem, KB_E_DENIED, "role %s permits a ttl of at most %s", role->name,
                                  get(role, "max-ttl"));
        if (q->ttl > most)
                q->ttl = most;
        return KB_E_OK;
}

/* Without any, a certificate would carry no extended key usage, which is read as good for everything. */
static unsigned uses_of(const struct kb_object *role)
{
        return (is(role, "server") ? KB_X509_SERVER : 0u) | (is(role, "client") ? KB_X509_CLIENT : 0u);
}

enum kb_error kb_role_check(const struct kb_object *role, struct kb_problem *problem)
{
        if (uses_of(role) != 0)
                return KB_E_OK;
        return kb_problem(problem, KB_E_BAD_REQUEST,
                          "role %s is for nothing: it needs server=yes or client=yes, or both", role->name);
}

/* --- what was asked --- */

static const char *const parameters_known[] = {"common_name", "alt_names", "ip_sans", "uri_sans", "ttl"};
enum { COMMON_NAME, ALT_NAMES, IP_SANS, URI_SANS, TTL, N_PARAMETERS };

static enum kb_error collect(struct kb_list parameters, const char *ret[N_PARAMETERS],
                             struct kb_problem *problem)
{
        struct kb_list rest = parameters;
        struct kb_span value;
        const char *name;

        for (unsigned i = 0; i < N_PARAMETERS; i++)
                ret[i] = "";
        while (kb_list_next_pair(&rest, &name, &value)) {
                unsigned i = 0;

                while (i < N_PARAMETERS && strcmp(parameters_known[i], name) != 0)
                        i++;
                if (i == N_PARAMETERS)
                        return kb_problem(problem, KB_E_BAD_REQUEST, "parameter %.64s is not known here",
                                          name);
                if (!kb_list_find_string(parameters, name, &ret[i]))
                        return kb_problem(problem, KB_E_BAD_REQUEST, "parameter %s is not text", name);
        }
        return KB_E_OK;
}

void kb_role_request_done(struct kb_role_request *q)
{
        kb_list_builder_done(&q->dns);
        kb_list_builder_done(&q->ip);
        kb_list_builder_done(&q->uri);
}

enum kb_error kb_role_judge(const struct kb_object *role, struct kb_list parameters,
                            struct kb_role_request *ret, struct kb_problem *problem)
{
        struct kb_role_request q = {
                .dns = kb_list_builder_init(LIST_MAX),
                .ip = kb_list_builder_init(LIST_MAX),
                .uri = kb_list_builder_init(LIST_MAX),
                .uses = uses_of(role),
        };
        const char *asked[N_PARAMETERS];
        enum kb_error error = kb_role_check(role, problem);

        if (error == KB_E_OK)
                error = collect(parameters, asked, problem);

        if (error == KB_E_OK)
                error = add_each(role, asked[ALT_NAMES], &q, add_dns, problem);
        if (error == KB_E_OK)
                error = judge_common_name(role, asked[COMMON_NAME], &q, problem);
        if (error == KB_E_OK)
                error = add_each(role, asked[IP_SANS], &q, add_ip, problem);
        if (error == KB_E_OK)
                error = add_each(role, asked[URI_SANS], &q, add_uri, problem);
        if (error == KB_E_OK)
                error = judge_ttl(role, asked[TTL], &q, problem);
        if (error == KB_E_OK && !q.common_name[0] && q.dns.count + q.ip.count + q.uri.count == 0)
                error = kb_problem(
                        problem, KB_E_BAD_REQUEST,
                        "nothing to certify: give common_name or alt_names, or the role a common-name");
        if (error != KB_E_OK) {
                kb_role_request_done(&q);
                return error;
        }
        *ret = q;
        return KB_E_OK;
}
