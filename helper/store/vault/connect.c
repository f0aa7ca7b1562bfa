/* SPDX-License-Identifier: Apache-2.0 */
/* From the settings of a store to its cluster, its login, its engines and its people. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "helper/store/vault/vault.h"

static_assert((int)KB_VAULT_LOGIN_approle == KB_LOGIN_APPROLE && (int)KB_VAULT_LOGIN_cert == KB_LOGIN_CERT &&
                      (int)KB_VAULT_LOGIN_jwt == KB_LOGIN_JWT &&
                      (int)KB_VAULT_LOGIN_kubernetes == KB_LOGIN_KUBERNETES &&
                      (int)KB_VAULT_LOGIN_token == KB_LOGIN_TOKEN,
              "a method has one number");
static_assert(KB_VAULT_ADDRESSES_MAX <= KB_CLUSTER_ADDRESSES, "what may be written can be asked");

/* An error that passes: units wait while somebody mends it. */
static bool fail(struct kb_vault *v, const struct kb_problem *why)
{
        kb_problem(&v->problem, KB_E_UNREACHABLE, "%s", why->text);
        return false;
}

static bool make_cluster(struct kb_vault *v)
{
        const struct kb_vault_settings *s = v->settings;
        struct kb_address addresses[KB_VAULT_ADDRESSES_MAX];
        struct kb_problem problem = {0};
        struct kb_cluster_settings settings = {
                .addresses = addresses,
                .connect_usec = s->connect_usec,
                .http = {.ca_file = s->ca_file,
                         .server_name = s->server_name,
                         .certificate_file = s->client_certificate,
                         .key_file = s->client_key,
                         .tls_1_2 = s->minimum_tls == KB_VAULT_TLS_1_2,
                         .max_answer = s->response_max},
        };

        for (size_t i = 0; s->addresses[i]; i++)
                if (kb_address_parse(s->addresses[i], s->allow_plain, &addresses[settings.n_addresses++],
                                     &problem) != KB_E_OK)
                        return fail(v, &problem);
        if (kb_cluster_new(&v->cluster, v->event, &settings, &problem) != KB_E_OK)
                return fail(v, &problem);
        return true;
}

static bool make_login(struct kb_vault *v, kb_login_changed changed)
{
        const struct kb_vault_settings *s = v->settings;
        const struct kb_login_settings settings = {
                .method = (enum kb_login_method)s->login_method,
                .namespace = s->namespace,
                .mount = s->login_mount,
                .role = s->login_role,
                .role_id_file = s->role_id_file,
                .secret_id_file = s->secret_id_file,
                .secret_id_credential = s->secret_id_credential,
                .credentials = v->identity.credentials,
                .secret_id_wrapped = s->secret_id_wrapped,
                .remove_secret_id_file = s->remove_secret_id_file,
                .jwt_file = s->jwt_file,
                .token_file = s->token_file,
                .renew_at = s->renew_at,
                .request_usec = s->request_usec,
        };
        struct kb_problem problem;
        int r = kb_login_new(&v->login, v->event, v->cluster, &settings, changed, v);

        if (r >= 0)
                return true;
        kb_problem_errno(&problem, r, "preparing the login");
        return fail(v, &problem);
}

static bool make_engines(struct kb_vault *v)
{
        struct kb_engines_settings settings = {
                .event = v->event,
                .cluster = v->cluster,
                .login = v->login,
                .people = v->tokens,
                .namespace = v->settings->namespace,
                .request_usec = v->settings->request_usec,
        };
        struct kb_problem problem;
        int r = v->identity.state ? kb_fingerprint_key(v->identity.state, settings.fingerprint_key)
                                  : -ENOENT;

        if (r >= 0)
                r = kb_engines_new(&v->engines, &settings);
        if (r >= 0)
                r = kb_vault_directory_new(&v->directory, &settings, v->settings->directory_mount,
                                           v->settings->directory_path);
        kb_wipe(settings.fingerprint_key, sizeof(settings.fingerprint_key));
        if (r >= 0)
                return true;
        kb_problem_errno(&problem, r, "reading the key of fingerprints in its folder");
        return fail(v, &problem);
}

static bool make_tokens(struct kb_vault *v)
{
        const struct kb_person_tokens_settings settings = {
                .event = v->event,
                .cluster = v->cluster,
                .login = v->login,
                .namespace = v->settings->namespace,
                .folder = v->identity.state ? v->identity.state : "",
        };
        struct kb_problem problem;
        int r = kb_person_tokens_new(&v->tokens, &settings);

        if (r >= 0)
                return true;
        kb_problem_errno(&problem, r, "reading the list of people's tokens in its folder");
        return fail(v, &problem);
}

static bool make_people(struct kb_vault *v)
{
        const struct kb_vault_settings *s = v->settings;
        const struct kb_people_settings settings = {
                .event = v->event,
                .cluster = v->cluster,
                .tokens = v->tokens,
                .namespace = s->namespace,
                .method = s->people_method,
                .mount = s->people_mount,
                .mfa_method = s->mfa_method,
                .request_usec = s->request_usec,
        };
        struct kb_problem problem;
        int r = kb_people_new(&v->people, &settings);

        if (r >= 0)
                return true;
        kb_problem_errno(&problem, r, "preparing the logins of people");
        return fail(v, &problem);
}

void kb_vault_disconnect(struct kb_vault *v)
{
        kb_vault_directory_free(v->directory);
        v->directory = NULL;
        kb_people_free(v->people);
        v->people = NULL;
        kb_engines_free(v->engines);
        v->engines = NULL;
        kb_person_tokens_free(v->tokens);
        v->tokens = NULL;
        kb_login_free(v->login);
        v->login = NULL;
}

bool kb_vault_connect(struct kb_vault *v, kb_login_changed changed)
{
        if (!v->cluster && !make_cluster(v))
                return false;
        if (make_login(v, changed) && make_tokens(v) && make_engines(v) && make_people(v))
                return true;
        kb_vault_disconnect(v);
        return false;
}
