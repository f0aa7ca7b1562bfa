/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * credentials.d/NAME.conf: what a credential is, who may have it, and what happens when it rotates. Nobody
 * may have one unless its file says so.
 */

#include "helper/config/config.h"

#define KB_CREDENTIALS_FOLDER KB_SYSCONFDIR "/credentials.d"

/* The words of each choice, in the order of its numbers. */
enum kb_format { KB_FORMAT_raw, KB_FORMAT_json, KB_FORMAT_env, KB_FORMAT_ini, KB_FORMAT_pem };
#define KB_FORMAT_WORDS "raw|json|env|ini|pem"

enum kb_as { KB_AS_host, KB_AS_person };
#define KB_AS_WORDS "host|person"

enum kb_strategy { KB_STRATEGY_eager, KB_STRATEGY_lazy, KB_STRATEGY_off };
#define KB_STRATEGY_WORDS "eager|lazy|off"

/*
 * Members as credential.def names them: `store`, `path`, `on_rotate` ... A string that was not given is
 * NULL, a list NULL or empty. Never changed once loaded; a grant may hold one (kb_credential_ref()) longer
 * than the set it came from lives. All references belong to one thread.
 */
struct kb_credential {
        struct kb_config_origins origins;
        char *name;
        unsigned references;
#define KEY(section, name, kind, member, ...) kb_value_##kind member;
#include "helper/config/credential.def"
#undef KEY
};

extern const struct kb_config_table kb_credential_table;

struct kb_credential *kb_credential_ref(const struct kb_credential *credential);
void kb_credential_unref(struct kb_credential *credential);
KB_DEFINE_CLEANUP(struct kb_credential, kb_credential_unref);

/*
 * One file, and the folder beside it; the name is the file's. config gives the defaults. 0; -ENOENT;
 * -EBADMSG after problems were added; -ENOMEM.
 */
int kb_credential_new(const char *path, const struct kb_config_trust *trust, const struct kb_config *config,
                      struct kb_problems *problems, struct kb_credential **ret) _must_check_;

/* The same from bytes in memory, for fuzzing. */
int kb_credential_new_bytes(const char *path, const char *bytes, size_t size, const struct kb_config *config,
                            struct kb_problems *problems, struct kb_credential **ret) _must_check_;

/* Whether a consumer gets the same by both: the same secret, asked for and written in the same way. */
bool kb_credential_gives_same(const struct kb_credential *a, const struct kb_credential *b);

bool kb_credential_allows_unit(const struct kb_credential *credential, const char *unit);

/* groups: names, NULL-terminated, or NULL. Both the person and the service have to be allowed. */
bool kb_credential_allows_person(const struct kb_credential *credential, const char *user,
                                 char *const *groups, const char *service);

/* --- all of them --- */

struct kb_credentials {
        struct kb_credential **sorted; /* by name */
        size_t count;
};

/*
 * Every NAME.conf of the folder. 0 when all are good; -EBADMSG after problems were added; -ENOMEM.
 *
 * With skip_bad, credentials with problems are left out and the result is 0 all the same: a broker that
 * starts must serve what it can, and has no older set to keep. A reload goes without, and keeps the old set
 * on failure.
 */
int kb_credentials_new(const char *folder, const struct kb_config_trust *trust,
                       const struct kb_config *config, bool skip_bad, struct kb_problems *problems,
                       struct kb_credentials **ret) _must_check_;

/* NULL: there is none of this name. Belongs to the set. */
const struct kb_credential *kb_credentials_find(const struct kb_credentials *credentials, const char *name);

void kb_credentials_free(struct kb_credentials *credentials);
KB_DEFINE_CLEANUP(struct kb_credentials, kb_credentials_free);
