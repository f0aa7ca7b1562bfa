/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/root_key.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/admin.h"
#include "cli/spawn.h"
#include "common/clock.h"

/*
 * Without PCRs the TPM still binds it to this machine. With them an update of the firmware would seal the
 * store, and the recovery code would be needed for nothing. The key is named: systemd's own choice leaves
 * out a TPM where the machine did not boot by EFI.
 */
static int encrypt(const char *with_key, struct kb_span credential, char *said, size_t size)
{
        _cleanup_free_ char *key = cli_format("--with-key=%s", with_key);
        char *argv[] = {(char[]){"systemd-creds"},
                        (char[]){"encrypt"},
                        key,
                        (char[]){"--tpm2-pcrs="},
                        (char[]){"--name=root-key"},
                        (char[]){"-"},
                        (char[]){CLI_ROOT_KEY_FILE},
                        NULL};

        return cli_spawn(argv, credential, said, size);
}

/* systemd 252 takes a TPM without PCRs, and cannot decrypt what it has made of it: better known now than
 * after the next boot. Nobody sees what comes out. */
static bool can_be_decrypted(void)
{
        char *argv[] = {(char[]){"systemd-creds"},   (char[]){"decrypt"}, (char[]){"--name=root-key"},
                        (char[]){CLI_ROOT_KEY_FILE}, (char[]){"-"},       NULL};

        return cli_spawn(argv, KB_SPAN(NULL, 0), NULL, 0) == 0;
}

/* With the TPM when there is one that works. */
static int encrypt_best(const struct cli *cli, struct kb_span credential, const char **ret_holder)
{
        char said[1024] = "";
        int r;

        *ret_holder = "this host's key and its TPM";
        if (access("/dev/tpmrm0", F_OK) == 0) {
                if (encrypt("host+tpm2", credential, said, sizeof(said)) == 0) {
                        if (can_be_decrypted())
                                return 0;
                        snprintf(said, sizeof(said), "systemd cannot decrypt what it has encrypted with it");
                }
                cli_note(cli, "the TPM of this host cannot be used, so its key alone has to do: %s", said);
        }
        *ret_holder = "this host's key";
        r = encrypt("host", credential, said, sizeof(said));
        return r == 0 ? 0
                      : cli_fail(cli, KB_E_INTERNAL, "`systemd-creds encrypt` failed: %s",
                                 r < 0 ? strerror(-r) : said);
}

int cli_keep_root_key(const struct cli *cli, struct kb_span credential, const char **ret_holder)
{
        mode_t mask = umask(0077);
        int r = mkdir(CLI_ROOT_KEY_FOLDER, 0700) < 0 && errno != EEXIST ? -errno : 0;

        r = r < 0 ? cli_fail(cli, KB_E_INTERNAL, CLI_ROOT_KEY_FOLDER ": %s", strerror(-r))
                  : encrypt_best(cli, credential, ret_holder);
        umask(mask);
        return r;
}

static bool has_slot(struct kb_list slots, bool of_systemd)
{
        struct kb_list slot;
        const char *kind;

        while (cli_admin_next_row(&slots, &slot))
                if (kb_list_find_string(slot, "kind", &kind) && (strcmp(kind, "systemd") == 0) == of_systemd)
                        return true;
        return false;
}

bool cli_opens_by_hand(struct kb_list slots)
{
        return has_slot(slots, false);
}

bool cli_root_key_is_lost(struct kb_list slots)
{
        return has_slot(slots, true) || !cli_opens_by_hand(slots);
}

int cli_make_root_key(struct cli *cli, const char **ret_holder)
{
        _cleanup_free_ char *name =
                cli_format("host-%llu", (unsigned long long)(kb_now_realtime() / KB_USEC_PER_SEC));
        _cleanup_admin_ struct cli_admin a = cli_admin_init("seal", "add", name);
        _cleanup_call_ struct kb_call call = {0};
        struct kb_span credential;
        struct kb_list rows, slot;
        int r;

        a.store = "local";
        kb_list_add_text(&a.fields, "kind", "systemd");
        r = cli_admin_ask(cli, &a, &call, &rows);
        if (r != 0)
                return r;
        if (!cli_admin_next_row(&rows, &slot) || !kb_list_find(slot, "credential", &credential))
                return cli_fail_reply(cli, -EBADMSG);
        return cli_keep_root_key(cli, credential, ret_holder);
}
