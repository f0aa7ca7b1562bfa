/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/config/store_vault.h"

#include <errno.h>
#include <string.h>

#include "helper/config/address.h"
#include "helper/config/units.h"

#define POD_JWT_FILE "/var/run/secrets/kubernetes.io/serviceaccount/token"

/* Places in the table: names of keys repeat in its sections. */
enum key {
#define KEY(section, name, kind, member, ...) KEY_##member,
#include "helper/config/store_vault.def"
#undef KEY
};

static const struct kb_config_key keys[] = {
#define KEY(...) KB_CONFIG_ROW(struct kb_vault_settings, __VA_ARGS__),
#include "helper/config/store_vault.def"
#undef KEY
};

const struct kb_config_table kb_vault_settings_table = {
        .what = "a store", .page = "stores.conf", .keys = keys, .n_keys = KB_ARRAY_SIZE(keys)};

static bool given(const struct kb_vault_settings *s, enum key key)
{
        return kb_config_origin(s, key).file;
}

/* A problem at the line of a key; of the whole file when the key was not given. */
static void blame(const struct kb_vault_settings *s, enum key key, const char *path,
                  struct kb_problems *problems, const char *text)
{
        struct kb_config_origin origin = kb_config_origin(s, key);

        kb_problems_add(problems, origin.file ? origin.file : path, origin.file ? origin.line : 0, "%s",
                        text);
}

/* --- what belongs to which method --- */

#define ON(method) (1u << KB_VAULT_LOGIN_##method)
#define HAS_JWT    (ON(jwt) | ON(kubernetes))
static const struct {
        enum key key;
        unsigned methods; /* that have use for it */
        unsigned needed;  /* that cannot do without */
} of_methods[] = {
        {KEY_login_mount, ~ON(token), 0},
        {KEY_login_role, ~ON(token), ON(kubernetes)},
        {KEY_role_id_file, ON(approle), ON(approle)},
        {KEY_secret_id_file, ON(approle), 0},
        {KEY_secret_id_credential, ON(approle), 0},
        {KEY_secret_id_wrapped, ON(approle), 0},
        {KEY_remove_secret_id_file, ON(approle), 0},
        {KEY_jwt_file, HAS_JWT, ON(jwt)},
        {KEY_token_file, ON(token), ON(token)},
};

static void check_method(const struct kb_vault_settings *s, const char *path, struct kb_problems *problems)
{
        _cleanup_free_ char *word = kb_config_value(&kb_vault_settings_table, s, KEY_login_method);

        for (size_t i = 0; i < KB_ARRAY_SIZE(of_methods); i++) {
                enum key key = of_methods[i].key;
                char text[128];

                snprintf(text, sizeof(text), "Method=%s needs %s=; add it to [Login]", word ? word : "",
                         keys[key].name);
                if (!given(s, key) && (of_methods[i].needed & (1u << s->login_method)))
                        blame(s, KEY_login_method, path, problems, text);
                snprintf(text, sizeof(text), "%s= does not belong to Method=%s; remove the line",
                         keys[key].name, word ? word : "");
                if (given(s, key) && !(of_methods[i].methods & (1u << s->login_method)))
                        blame(s, key, path, problems, text);
        }
}

/* --- what no single key can tell --- */

static bool any_plain(char *const *addresses)
{
        for (size_t i = 0; addresses[i]; i++)
                if (kb_address_is_plain(addresses[i]))
                        return true;
        return false;
}

static bool any_twice(char *const *addresses)
{
        for (size_t i = 0; addresses[i]; i++)
                for (size_t k = 0; k < i; k++)
                        if (strcmp(addresses[i], addresses[k]) == 0)
                                return true;
        return false;
}

static size_t length(char *const *list)
{
        size_t n = 0;

        while (list[n])
                n++;
        return n;
}

#define FAULT(key, condition, text)                                                                         \
        {                                                                                                   \
                KEY_##key, (condition), (text)                                                              \
        }

static void check_whole(const struct kb_vault_settings *s, const char *path, struct kb_problems *problems)
{
        bool approle = s->login_method == KB_VAULT_LOGIN_approle;
        bool people = s->people_method != KB_VAULT_PEOPLE_none;
        const struct {
                enum key key; /* that is to blame */
                bool wrong;
                const char *text;
        } faults[] = {
                FAULT(addresses, any_plain(s->addresses) && !s->allow_plain,
                      "Address= is without TLS; write https://, or set AllowPlain=yes if the server is on "
                      "this host"),
                FAULT(addresses, any_twice(s->addresses), "Address= names a server twice; remove one"),
                FAULT(addresses, length(s->addresses) > KB_VAULT_ADDRESSES_MAX,
                      "Address= names more than 16 servers; leave some out"),
                FAULT(client_certificate, s->client_certificate && !s->client_key,
                      "ClientCertificate= is of no use without ClientKey=; add it"),
                FAULT(client_key, s->client_key && !s->client_certificate,
                      "ClientKey= is of no use without ClientCertificate=; add it"),
                FAULT(connect_usec, s->connect_usec > s->request_usec,
                      "ConnectTimeoutSec= is longer than RequestTimeoutSec=, which holds it; shorten it"),
                FAULT(login_method, s->login_method == KB_VAULT_LOGIN_cert && !s->client_certificate,
                      "Method=cert needs ClientCertificate= and ClientKey=; add them to [Server]"),
                FAULT(secret_id_credential, approle && s->secret_id_file && s->secret_id_credential,
                      "SecretIdFile= and SecretIdCredential= are both given; remove one"),
                FAULT(secret_id_wrapped, approle && s->secret_id_wrapped && !s->login_role,
                      "SecretIdWrapped=yes needs Role=, to know who the SecretID was made for; add it"),
                FAULT(secret_id_wrapped,
                      approle && s->secret_id_wrapped && !s->secret_id_file && !s->secret_id_credential,
                      "SecretIdWrapped=yes has nothing to unwrap; add SecretIdFile= or SecretIdCredential="),
                FAULT(remove_secret_id_file, approle && s->remove_secret_id_file && !s->secret_id_file,
                      "RemoveSecretIdFile=yes has no file to remove; add SecretIdFile=, or remove the line"),
                FAULT(login_role, s->login_role && strchr(s->login_role, '/'),
                      "Role= is one name, without '/'; the path to its method goes into Mount="),
                FAULT(people_mount, s->people_mount && !people,
                      "Mount= in [People] is of no use while Method=none; set Method=userpass or ldap"),
                FAULT(mfa_method, s->mfa_method && !people,
                      "MfaMethod= is of no use while Method=none; set Method=userpass or ldap"),
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(faults); i++)
                if (faults[i].wrong)
                        blame(s, faults[i].key, path, problems, faults[i].text);
}

/* --- defaults that depend on a method --- */

/* The word of a choice for a string that was not given. */
static int take_word(enum key choice, const void *number, char **to)
{
        if (!*to)
                *to = kb_value_format(KB_VALUE_choice, &keys[choice].limits, number);
        return *to ? 0 : -ENOMEM;
}

static int fill_in(struct kb_vault_settings *s)
{
        int r = 0;

        if (s->login_method != KB_VAULT_LOGIN_token)
                r = take_word(KEY_login_method, &s->login_method, &s->login_mount);
        if (r == 0 && s->people_method != KB_VAULT_PEOPLE_none)
                r = take_word(KEY_people_method, &s->people_method, &s->people_mount);
        if (r == 0 && s->login_method == KB_VAULT_LOGIN_kubernetes && !s->jwt_file) {
                s->jwt_file = strdup(POD_JWT_FILE);
                r = s->jwt_file ? 0 : -ENOMEM;
        }
        return r;
}

/* The part that files and bytes in memory share: r is how loading went. */
static int finish(struct kb_vault_settings *loaded, const char *path, int r, struct kb_problems *problems,
                  struct kb_vault_settings **ret)
{
        _cleanup_(kb_vault_settings_freep) struct kb_vault_settings *s = loaded;
        size_t before = problems->count + problems->more;

        if (r < 0)
                return r;
        check_method(s, path, problems);
        check_whole(s, path, problems);
        if (problems->count + problems->more > before)
                return -EBADMSG;
        r = fill_in(s);
        if (r < 0)
                return r;
        *ret = take_ptr(s);
        return 0;
}

int kb_vault_settings_new(const char *path, const struct kb_config_trust *trust,
                          struct kb_problems *problems, struct kb_vault_settings **ret)
{
        struct kb_vault_settings *s = calloc(1, sizeof(*s));

        if (!s)
                return -ENOMEM;
        return finish(s, path, kb_config_load(&kb_vault_settings_table, path, trust, problems, s), problems,
                      ret);
}

int kb_vault_settings_new_bytes(const char *path, const char *bytes, size_t size,
                                struct kb_problems *problems, struct kb_vault_settings **ret)
{
        struct kb_vault_settings *s = calloc(1, sizeof(*s));

        if (!s)
                return -ENOMEM;
        return finish(s, path,
                      kb_config_load_bytes(&kb_vault_settings_table, path, bytes, size, problems, s),
                      problems, ret);
}

void kb_vault_settings_free(struct kb_vault_settings *s)
{
        if (!s)
                return;
        kb_config_done(&kb_vault_settings_table, s);
        free(s);
}
