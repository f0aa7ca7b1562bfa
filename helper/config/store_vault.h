/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * stores/NAME.conf of a store of type vault: where the servers are, and how this host and its people log in.
 * The file names where secrets lie, and holds none; it is for the store's program and root all the same.
 */

#include "helper/config/store.h"
#include "helper/config/table.h"

/* The words of each choice, in the order of its numbers. */
enum kb_vault_tls { KB_VAULT_TLS_1_2, KB_VAULT_TLS_1_3 };
#define KB_VAULT_TLS_WORDS "1.2|1.3"

enum kb_vault_login {
        KB_VAULT_LOGIN_approle,
        KB_VAULT_LOGIN_cert,
        KB_VAULT_LOGIN_jwt,
        KB_VAULT_LOGIN_kubernetes,
        KB_VAULT_LOGIN_token
};
#define KB_VAULT_LOGIN_WORDS "approle|cert|jwt|kubernetes|token"

enum kb_vault_people { KB_VAULT_PEOPLE_none, KB_VAULT_PEOPLE_userpass, KB_VAULT_PEOPLE_ldap };
#define KB_VAULT_PEOPLE_WORDS "none|userpass|ldap"

#define KB_VAULT_USER          "keybearer-vault" /* and its group: who runs the program */
#define KB_VAULT_ADDRESSES_MAX 16

/*
 * Members as store_vault.def names them. A string that was not given is NULL; but login_mount, people_mount
 * and jwt_file are what they default to where the method has use for them. Never changed once loaded.
 */
struct kb_vault_settings {
        struct kb_config_origins origins;
#define KEY(section, name, kind, member, ...) kb_value_##kind member;
#include "helper/config/store_vault.def"
#undef KEY
};

extern const struct kb_config_table kb_vault_settings_table;

/*
 * One file, and the folder beside it. 0; -ENOENT; -EBADMSG after problems were added: also when two keys do
 * not go together, or one does not belong to the method that was chosen; -ENOMEM.
 */
int kb_vault_settings_new(const char *path, const struct kb_config_trust *trust,
                          struct kb_problems *problems, struct kb_vault_settings **ret) _must_check_;

/* The same from bytes in memory, for fuzzing. */
int kb_vault_settings_new_bytes(const char *path, const char *bytes, size_t size,
                                struct kb_problems *problems, struct kb_vault_settings **ret) _must_check_;

void kb_vault_settings_free(struct kb_vault_settings *s);
KB_DEFINE_CLEANUP(struct kb_vault_settings, kb_vault_settings_free);
