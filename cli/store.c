/* SPDX-License-Identifier: Apache-2.0 */
/* keybearer store backup and restore: what is too long for one request goes in pieces. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/admin.h"
#include "cli/files.h"
#include "cli/input.h"
#include "cli/root_key.h"

#define PIECE (512 * 1024)

/* --- backup --- */

struct sink {
        int fd;
        int error; /* the first errno of writing, 0 */
        uint64_t size;
};

static void write_piece(struct sink *sink, struct kb_span piece)
{
        while (piece.size > 0 && sink->error == 0) {
                ssize_t n = write(sink->fd, piece.data, piece.size);

                if (n < 0 && errno != EINTR)
                        sink->error = errno;
                if (n < 0)
                        continue;
                sink->size += (uint64_t)n;
                piece = KB_SPAN(piece.data + n, piece.size - (size_t)n);
        }
}

static void take_piece(void *userdata, const struct kb_progress_record *progress)
{
        write_piece(userdata, progress->chunk);
        cli_admin_show_progress(NULL, progress);
}

/* All pieces into fd. 0, or an exit status. */
static int receive(struct cli *cli, struct sink *sink)
{
        _cleanup_admin_ struct cli_admin a = cli_admin_init("store", "backup", "");
        _cleanup_call_ struct kb_call call = {0};
        struct kb_list rows;
        int r;

        a.on_progress = take_piece;
        a.userdata = sink;
        r = cli_admin_ask(cli, &a, &call, &rows);
        if (r == 0 && sink->error == 0 && fsync(sink->fd) < 0)
                sink->error = errno;
        if (r == 0 && sink->error != 0)
                r = cli_fail(cli, KB_E_INTERNAL, "the backup could not be written: %s",
                             strerror(sink->error));
        return r;
}

int cli_run_store_backup(struct cli *cli)
{
        const char *path = cli->arguments[0];
        _cleanup_free_ char *partial = cli_format("%s.part", path);
        _cleanup_close_ int fd = -1;
        struct sink sink = {0};
        int r;

        if (access(path, F_OK) == 0)
                return cli_fail(cli, KB_E_CONFLICT, "%s exists already; a backup never replaces a file",
                                path);
        fd = open(partial, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return cli_fail(cli, KB_E_BAD_REQUEST, "%s: %s", partial, strerror(errno));
        sink.fd = fd;
        r = receive(cli, &sink);
        if (r == 0 && renameat2(AT_FDCWD, partial, AT_FDCWD, path, RENAME_NOREPLACE) < 0)
                r = cli_fail(cli, KB_E_CONFLICT, "%s: %s", path, strerror(errno));
        if (r != 0) {
                unlink(partial);
                return r;
        }
        return cli_done(
                cli, "%s: %llu bytes; whoever opens it needs a recovery code or a passphrase of this store",
                path, (unsigned long long)sink.size);
}

/* --- restore --- */

static int send_piece(struct cli *cli, uint64_t offset, struct kb_span piece)
{
        _cleanup_admin_ struct cli_admin a = cli_admin_init("store", "restore-part", "");
        _cleanup_call_ struct kb_call call = {0};
        struct kb_list rows;

        kb_list_add_number(&a.fields, "offset", offset);
        kb_list_add_pair(&a.fields, "data", piece);
        return cli_admin_ask(cli, &a, &call, &rows);
}

static int send_file(struct cli *cli, const char *path)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
        _cleanup_free_ uint8_t *piece = malloc(PIECE);
        uint64_t offset = 0;
        int r = 0;

        if (fd < 0)
                return cli_fail(cli, errno == ENOENT ? KB_E_NOT_FOUND : KB_E_BAD_REQUEST, "%s: %s", path,
                                strerror(errno));
        if (!piece)
                return cli_fail(cli, KB_E_INTERNAL, "memory is out");
        while (r == 0) {
                ssize_t n = read(fd, piece, PIECE);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return cli_fail(cli, KB_E_BAD_REQUEST, "%s: %s", path, strerror(errno));
                if (n == 0)
                        break;
                r = send_piece(cli, offset, KB_SPAN(piece, n));
                offset += (uint64_t)n;
        }
        if (r == 0 && offset == 0)
                r = cli_fail(cli, KB_E_BAD_REQUEST, "%s is empty", path);
        return r;
}

static bool is_sealed_at_start(struct kb_list rows)
{
        struct kb_list row;
        const char *opens;

        return cli_admin_next_row(&rows, &row) && kb_list_find_string(row, "opens-at-start", &opens) &&
               strcmp(opens, "no") == 0;
}

/*
 * The backup of another store: the root key that this host keeps is for the one before it, and opens nothing
 * any more. It goes first, so that `keybearer setup` sees that one is missing should the new one fail.
 */
static int renew_root_key(struct cli *cli, const char *path)
{
        const char *holder = "";
        int r = cli_file_remove(path);

        if (r < 0)
                r = cli_fail(cli, KB_E_INTERNAL, "%s: %s", path, strerror(-r));
        else
                r = cli_make_root_key(cli, &holder);
        if (r != 0) {
                cli_note(cli,
                         "%s is the store now, and it would be sealed at its next start; keybearer setup",
                         cli->arguments[0]);
                return r;
        }
        return cli_done(cli, "%s is the store now; a new slot opens it with %s", cli->arguments[0], holder);
}

/* The file is the local store's. Without one it is opened by hand at each start, and goes on so. */
static int open_at_start(struct cli *cli)
{
        _cleanup_free_ char *path = cli_path(cli, CLI_ROOT_KEY_FILE), *store = NULL;
        int r = cli_choose_store(cli, "store", &store);

        if (r != 0)
                return r;
        if (strcmp(store, "local") == 0 && access(path, F_OK) == 0)
                return renew_root_key(cli, path);
        return cli_done(cli,
                        "%s is the store now; after its next start it has to be opened by hand: "
                        "keybearer seal unseal --store=%s",
                        cli->arguments[0], store);
}

int cli_run_store_restore(struct cli *cli)
{
        _cleanup_admin_ struct cli_admin a = cli_admin_init("store", "restore", cli->arguments[1]);
        _cleanup_call_ struct kb_call call = {0};
        _cleanup_secret_ char *secret = NULL;
        struct kb_list rows;
        int r = 0;

        if (cli->given[CLI_OPTION_ask] || cli->given[CLI_OPTION_password_stdin])
                r = cli_read_secret(cli, "passphrase or recovery code", false, &secret);
        if (r == 0 && secret)
                kb_list_add_text(&a.fields, "secret", secret);
        if (r == 0)
                r = send_file(cli, cli->arguments[0]);
        if (r == 0)
                r = cli_admin_ask(cli, &a, &call, &rows);
        if (r == 0 && is_sealed_at_start(rows))
                return open_at_start(cli);
        return r != 0 ? r : cli_done(cli, "%s is the store now", cli->arguments[0]);
}
