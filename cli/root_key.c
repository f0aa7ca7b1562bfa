/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/root_key.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/admin.h"
#include "cli/spawn.h"
#include "common/clock.h"

int cli_keep_root_key(const struct cli *cli, struct kb_span credential)
{
        /*
         * Without PCRs the TPM still binds it to this machine. With them an update of the firmware would
         * seal the store, and the recovery code would be needed for nothing.
         */
        char *argv[] = {(char[]){"systemd-creds"},   (char[]){"encrypt"},
                        (char[]){"--with-key=auto"}, (char[]){"--tpm2-pcrs="},
                        (char[]){"--name=root-key"}, (char[]){"-"},
                        (char[]){CLI_ROOT_KEY_FILE}, NULL};
        mode_t mask = umask(0077);
        char said[1024] = "";
        int r = mkdir(CLI_ROOT_KEY_FOLDER, 0700) < 0 && errno != EEXIST ? -errno : 0;

        if (r < 0)
                r = cli_fail(cli, KB_E_INTERNAL, CLI_ROOT_KEY_FOLDER ": %s", strerror(-r));
        else if ((r = cli_spawn(argv, credential, said, sizeof(said))) != 0)
                r = cli_fail(cli, KB_E_INTERNAL, "`systemd-creds encrypt` failed: %s",
                             r < 0 ? strerror(-r) : said);
        umask(mask);
        return r;
}

int cli_make_root_key(struct cli *cli)
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
        return cli_keep_root_key(cli, credential);
}

const char *cli_root_key_holder(void)
{
        char *argv[] = {(char[]){"systemd-creds"}, (char[]){"has-tpm2"}, (char[]){"--quiet"}, NULL};

        return cli_spawn(argv, KB_SPAN(NULL, 0), NULL, 0) == 0 ? "this host's key and its TPM"
                                                               : "this host's key";
}
