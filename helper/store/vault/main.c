/* SPDX-License-Identifier: Apache-2.0 */
/* keybearer-store-vault NAME: a store whose secrets lie in OpenBao, or Vault. */
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "common/names.h"
#include "helper/server/process.h"
#include "helper/store/vault/vault.h"

int main(int argc, char **argv)
{
        struct kb_vault_identity identity = {
                .folder = KB_STORES_FOLDER,
                .trust = {.owner = 0, .reader = KB_VAULT_USER, .reader_gid = getegid()},
        };

        if (argc != 2 || !kb_name_word_valid(argv[1]) || strcmp(argv[1], KB_STORE_LOCAL) == 0) {
                kb_process_log(LOG_ERR, "the name of a store is missing, or is none: start "
                                        "keybearer-store-vault@NAME.socket instead");
                return EXIT_FAILURE;
        }
        identity.name = argv[1];
        identity.credentials = secure_getenv("CREDENTIALS_DIRECTORY");
        identity.state = secure_getenv("STATE_DIRECTORY");
        return kb_vault_main(&identity);
}
