/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keybearer-store-vault NAME: a store whose secrets lie in OpenBao, or Vault. keybearer-store-vault --user
 * FILE: for somebody who has a token of their own, with settings of their own.
 */
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "common/names.h"
#include "helper/server/process.h"
#include "helper/store/vault/vault.h"

static int usage(void)
{
        kb_process_log(LOG_ERR, "the name of a store is missing, or is none: start "
                                "keybearer-store-vault@NAME.socket instead");
        return EXIT_FAILURE;
}

/* path is /FOLDER/NAME.conf, and is cut into the two. */
static int run_for_user(char *path)
{
        struct kb_vault_identity identity = {
                .trust = {.owner = geteuid()}, .user = true, .state = secure_getenv("STATE_DIRECTORY")};
        char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');

        if (!slash || !dot || dot < slash || strcmp(dot, ".conf") != 0) {
                kb_process_log(LOG_ERR, "%s has to be a path of a file NAME.conf", path);
                return EXIT_FAILURE;
        }
        *slash = *dot = '\0';
        identity.folder = path;
        identity.name = slash + 1;
        return kb_vault_main(&identity);
}

int main(int argc, char **argv)
{
        struct kb_vault_identity identity = {
                .folder = KB_STORES_FOLDER,
                .trust = {.owner = 0, .reader = KB_VAULT_USER, .reader_gid = getegid()},
        };

        if (argc == 3 && strcmp(argv[1], "--user") == 0)
                return run_for_user(argv[2]);
        if (argc != 2 || !kb_name_word_valid(argv[1]) || strcmp(argv[1], KB_STORE_LOCAL) == 0)
                return usage();
        identity.name = argv[1];
        identity.credentials = secure_getenv("CREDENTIALS_DIRECTORY");
        identity.state = secure_getenv("STATE_DIRECTORY");
        return kb_vault_main(&identity);
}
