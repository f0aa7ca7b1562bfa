/* SPDX-License-Identifier: Apache-2.0 */
/* keybearer directory: people, groups and rules of many hosts, made and signed by an administrator. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/child.h"
#include "cli/directory_text.h"
#include "cli/input.h"
#include "cli/output.h"
#include "common/clock.h"
#include "common/file.h"
#include "directory/signature.h"

/* --- keys --- */

/* A file that was not there before. */
static int write_new(const char *path, const struct kb_writer *content, mode_t mode)
{
        _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
        int r = fd < 0 ? -errno : kb_file_write_all(fd, KB_SPAN(content->data, content->size));

        return r < 0 || fsync(fd) == 0 ? r : -errno;
}

int cli_run_directory_key(struct cli *cli)
{
        _cleanup_writer_ struct kb_writer secret = kb_writer_init(4096), open_half = kb_writer_init(4096);
        _cleanup_free_ char *public = cli_format("%s.pub", cli->arguments[0]);
        const char *path = cli->arguments[0];
        int r;

        if (access(path, F_OK) == 0 || access(public, F_OK) == 0)
                return cli_fail(cli, KB_E_CONFLICT, "%s or %s is there already: it is not written over",
                                path, public);
        r = kb_directory_key_make(&secret, &open_half);
        if (r < 0)
                return cli_fail(cli, KB_E_INTERNAL, "libcrypto made no key");
        r = write_new(path, &secret, 0600);
        if (r >= 0)
                r = write_new(public, &open_half, 0644);
        if (r < 0)
                return cli_fail(cli, KB_E_STORAGE, "%s: %s", path, strerror(-r));
        return cli_done(cli,
                        "made %s, which signs: keep it where no host and no store sees it; and %s, for "
                        "/etc/keybearer/directory.pub of every host",
                        path, public);
}

/* The bytes of a private key that nobody else can read. */
static int read_key(const struct cli *cli, uint8_t **ret, size_t *ret_size)
{
        const char *path = cli->value[CLI_OPTION_key];
        struct stat st;

        if (!path)
                return cli_fail(cli, KB_E_BAD_REQUEST,
                                "--key=FILE is missing: what signs the directory; `keybearer directory key` "
                                "makes one");
        if (stat(path, &st) == 0 && (st.st_mode & 077))
                return cli_fail(cli, KB_E_DENIED, "%s can be read by others; chmod 600 %s", path, path);
        return cli_read_file(cli, path, ret, ret_size);
}

/* --- what is published --- */

struct published {
        struct cli_child child;
        bool there;
        uint64_t version;
        char cluster[KB_CLUSTER_NAME_MAX + 1];
        struct kb_writer document; /* with its head */
        struct kb_span records;
        struct kb_list shards;
};

static void published_done(struct published *p)
{
        cli_child_done(&p->child);
        kb_writer_done(&p->document);
}
#define _cleanup_published_ _cleanup_(published_done)

static int get_part(const struct cli *cli, struct published *p, uint32_t part, uint32_t *ret_parts)
{
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_directory);
        struct kb_directory_reply reply;
        int r;

        kb_directory_request_put(&call.request, &(struct kb_directory_request){.part = part});
        r = kb_call_run(&call, p->child.socket, kb_time_add(kb_now_monotonic(), 60 * KB_USEC_PER_SEC));
        if (r < 0)
                return cli_fail(cli, KB_E_UNREACHABLE, "the store does not answer: %s", strerror(-r));
        if (call.status == KB_E_NOT_FOUND && part == 0) {
                *ret_parts = 0;
                return 0;
        }
        if (call.status != KB_E_OK)
                return cli_fail(cli, call.status, "%s", call.text);
        if (kb_directory_reply_get(call.reply.body, &reply) < 0 || reply.parts == 0)
                return cli_fail(cli, KB_E_INTERNAL, "the answer of the store makes no sense");
        if (part > 0 && reply.version != p->version)
                return cli_fail(cli, KB_E_CONFLICT, "the directory was changed meanwhile; try again");
        p->version = reply.version;
        *ret_parts = reply.parts;
        kb_write_raw(&p->document, reply.records);
        return kb_writer_end(&p->document) < 0 ? cli_fail(cli, KB_E_INTERNAL, "memory is out") : 0;
}

/* Who made it is for hosts to judge; it is read by who may write it. That it is whole, the store has seen.
 */
static int take_apart(const struct cli *cli, struct published *p)
{
        struct kb_signed it;
        struct kb_head head;

        if (kb_signed_get(KB_SPAN(p->document.data, p->document.size), &it) < 0 ||
            kb_head_get(it.body, &head) < 0)
                return cli_fail(cli, KB_E_BAD_REQUEST, "what is published is no directory");
        snprintf(p->cluster, sizeof(p->cluster), "%s", head.cluster);
        p->version = head.version;
        if (!cli->given[CLI_OPTION_anew]) { /* else all of it is written again */
                p->shards = head.shards;
                p->records = it.shards;
        }
        p->there = true;
        return 0;
}

static int get_published(const struct cli *cli, struct published *p)
{
        const char *settings = cli->value[CLI_OPTION_settings];
        uint32_t parts = 1;
        int r;

        p->document = kb_writer_init(KB_DIRECTORY_SIZE_MAX + KB_HEAD_MAX);
        if (!settings)
                return cli_fail(cli, KB_E_BAD_REQUEST,
                                "--settings=FILE is missing: where the directory lies and with which token, "
                                "see `man 5 keybearer-directory`");
        r = cli_child_start(cli, settings, &p->child);
        for (uint32_t part = 0; r == 0 && part < (cli->given[CLI_OPTION_anew] ? 1 : parts); part++)
                r = get_part(cli, p, part, &parts);
        return r == 0 && parts > 0 ? take_apart(cli, p) : r;
}

/* --- looking --- */

static int say_counts(const struct cli *cli, const char *what, struct kb_span records)
{
        struct cli_directory_count count = cli_directory_count(records);

        return cli_done(cli, "%s: people %zu, groups %zu, rules %zu, ids of the past %zu", what,
                        count.of[KB_RECORD_person], count.of[KB_RECORD_group], count.of[KB_RECORD_rule],
                        count.of[KB_RECORD_tombstone]);
}

int cli_run_directory_check(struct cli *cli)
{
        _cleanup_(cli_directory_freep) struct cli_directory *d = NULL;
        _cleanup_writer_ struct kb_writer records = kb_writer_init(KB_DIRECTORY_SIZE_MAX);
        int r = cli_directory_read(cli, cli->arguments[0], &d);

        if (r == 0)
                r = cli_directory_build(cli, d, KB_SPAN("", 0), &records);
        return r != 0 ? r : say_counts(cli, "well formed", KB_SPAN(records.data, records.size));
}

static int show_text(const struct published *p)
{
        cli_directory_print(stdout, p->cluster, p->records);
        return 0;
}

static int show_json(const struct cli *cli, const struct published *p)
{
        _cleanup_free_ char *text = NULL;
        json_object *object = json_object_new_object();
        size_t size;
        FILE *f = open_memstream(&text, &size);

        if (f) {
                cli_directory_print(f, p->cluster, p->records);
                fclose(f);
        }
        cli_row_number(object, "version", p->version);
        cli_row_text(object, "text", text ? text : "");
        return cli_object_print(cli, object);
}

int cli_run_directory_show(struct cli *cli)
{
        _cleanup_published_ struct published p = {0};
        int r = get_published(cli, &p);

        if (r != 0)
                return r;
        if (!p.there)
                return cli_fail(cli, KB_E_NOT_FOUND, "no directory is published there yet");
        return cli->given[CLI_OPTION_json] ? show_json(cli, &p) : show_text(&p);
}

static const struct cli_column columns[] = {
        {"change", "CHANGE", CLI_TEXT}, {"kind", "KIND", CLI_TEXT}, {"name", "NAME", CLI_TEXT}};

static void add_change(struct cli_table *t, const char *change, const struct cli_record *record)
{
        json_object *row = cli_table_row(t);

        cli_row_text(row, "change", change);
        cli_row_text(row, "kind", cli_record_kind(record->kind));
        cli_row_text(row, "name", record->name);
}

static int order(const struct cli_record *a, const struct cli_record *b)
{
        unsigned long x, y;

        if (a->kind != b->kind)
                return a->kind < b->kind ? -1 : 1;
        if (a->kind != KB_RECORD_tombstone)
                return strcmp(a->name, b->name);
        x = strtoul(a->name, NULL, 10);
        y = strtoul(b->name, NULL, 10);
        return x < y ? -1 : x > y;
}

/* Both are sorted. */
static void compare(struct cli_table *t, struct kb_span before, struct kb_span after)
{
        struct cli_record old, new;
        bool has_old = cli_record_next(&before, &old), has_new = cli_record_next(&after, &new);

        while (has_old || has_new) {
                int which = !has_old ? 1 : !has_new ? -1 : order(&old, &new);

                if (which < 0)
                        add_change(t, "removed", &old);
                else if (which > 0)
                        add_change(t, "added", &new);
                else if (old.bytes.size != new.bytes.size ||
                         memcmp(old.bytes.data, new.bytes.data, old.bytes.size) != 0)
                        add_change(t, "changed", &new);
                if (which <= 0)
                        has_old = cli_record_next(&before, &old);
                if (which >= 0)
                        has_new = cli_record_next(&after, &new);
        }
}

/* The published one, the one of a file that follows it, and what is different. */
static int prepare(struct cli *cli, const char *path, struct published *p, struct cli_directory **ret,
                   struct kb_writer *records, struct cli_table *changes)
{
        int r = cli_directory_read(cli, path, ret);

        if (r == 0)
                r = get_published(cli, p);
        if (r == 0)
                r = cli_directory_build(cli, *ret, p->records, records);
        if (r == 0)
                compare(changes, p->records, KB_SPAN(records->data, records->size));
        return r;
}

int cli_run_directory_diff(struct cli *cli)
{
        _cleanup_table_ struct cli_table changes = cli_table_init(columns, KB_ARRAY_SIZE(columns));
        _cleanup_writer_ struct kb_writer records = kb_writer_init(KB_DIRECTORY_SIZE_MAX);
        _cleanup_(cli_directory_freep) struct cli_directory *d = NULL;
        _cleanup_published_ struct published p = {0};
        int r = prepare(cli, cli->arguments[0], &p, &d, &records, &changes);

        return r != 0 ? r : cli_table_print(cli, &changes, "nothing would change");
}

/* --- publishing --- */

static int put_entry(const struct cli *cli, const struct published *p, const char *name,
                     struct kb_span bytes)
{
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_store_admin);
        _cleanup_list_ struct kb_list_builder fields = kb_list_builder_init(KB_FRAME_MAX);

        kb_list_add_pair(&fields, "value", bytes);
        kb_store_admin_request_put(&call.request,
                                   &(struct kb_store_admin_request){.object = "directory",
                                                                    .action = "put",
                                                                    .name = name,
                                                                    .fields = kb_list_built(&fields)});
        return cli_child_ask(cli, &p->child, &call);
}

static bool has_shard(struct kb_list shards, const struct kb_shard *wanted)
{
        struct kb_shard one;

        while (kb_head_next_shard(&shards, &one))
                if (memcmp(&one, wanted, sizeof(one)) == 0)
                        return true;
        return false;
}

/* Those first that the head will name. */
static int put_shards(const struct cli *cli, const struct published *p, struct kb_span records,
                      struct kb_list_builder *shards)
{
        struct kb_shard shard;
        ssize_t n;
        int r = 0;

        while (r == 0 && (n = kb_shard_cut(records)) > 0) {
                char name[7 + KB_SHARD_NAME_SIZE] = "shards/";
                struct kb_span bytes = KB_SPAN(records.data, (size_t)n);

                if (kb_shard_measure(bytes, &shard) < 0)
                        return cli_fail(cli, KB_E_INTERNAL, "libcrypto cannot hash");
                kb_shard_name(&shard, name + 7);
                if (!has_shard(p->shards, &shard))
                        r = put_entry(cli, p, name, bytes);
                kb_head_add_shard(shards, &shard);
                records = KB_SPAN(records.data + n, records.size - (size_t)n);
        }
        if (r == 0 && n < 0)
                return cli_fail(cli, KB_E_BAD_REQUEST,
                                "one record is larger than %d bytes: a group with too "
                                "many members",
                                KB_SHARD_MAX);
        return r;
}

static int put_head(const struct cli *cli, const struct published *p, const struct kb_head *head,
                    struct kb_span key)
{
        _cleanup_writer_ struct kb_writer body = kb_writer_init(KB_HEAD_BODY_MAX),
                                          all = kb_writer_init(KB_HEAD_MAX);
        uint8_t signature[KB_SIGNATURE_SIZE];
        int r;

        kb_head_put(&body, head);
        r = kb_writer_end(&body);
        if (r >= 0)
                r = kb_signature_make(key, KB_SPAN(body.data, body.size), signature);
        if (r == -EBADMSG)
                return cli_fail(cli, KB_E_BAD_REQUEST, "%s holds no private key for Ed25519 in PEM",
                                cli->value[CLI_OPTION_key]);
        if (r < 0)
                return cli_fail(cli, KB_E_INTERNAL, "the directory cannot be signed: %s", strerror(-r));
        kb_signed_put(&all, KB_SPAN(body.data, body.size), KB_SPAN(signature, sizeof(signature)));
        return put_entry(cli, p, "head", KB_SPAN(all.data, all.size));
}

/* By the clock, so that it is greater also when what was published last is lost, or an older one was put
 * back. */
static uint64_t next_version(const struct published *p, uint64_t now)
{
        uint64_t seconds = now / KB_USEC_PER_SEC;

        return seconds > p->version ? seconds : p->version + 1;
}

static int publish(struct cli *cli, const char *path)
{
        _cleanup_table_ struct cli_table changes = cli_table_init(columns, KB_ARRAY_SIZE(columns));
        _cleanup_list_ struct kb_list_builder shards = kb_list_builder_init(KB_HEAD_BODY_MAX);
        _cleanup_writer_ struct kb_writer records = kb_writer_init(KB_DIRECTORY_SIZE_MAX);
        _cleanup_(cli_directory_freep) struct cli_directory *d = NULL;
        _cleanup_published_ struct published p = {0};
        _cleanup_secret_ uint8_t *key = NULL;
        uint64_t now = kb_now_realtime(), version = 0;
        size_t key_size;
        int r = read_key(cli, &key, &key_size);

        if (r == 0)
                r = prepare(cli, path, &p, &d, &records, &changes);
        if (r == 0 && p.there && strcmp(p.cluster, cli_directory_cluster(d)) != 0)
                r = cli_fail(cli, KB_E_CONFLICT, "what is published there is the directory of cluster %s",
                             p.cluster);
        if (r == 0)
                r = put_shards(cli, &p, KB_SPAN(records.data, records.size), &shards);
        version = next_version(&p, now);
        if (r == 0)
                r = put_head(cli, &p,
                             &(struct kb_head){.cluster = cli_directory_cluster(d),
                                               .version = version,
                                               .made = now,
                                               .not_after = cli_directory_not_after(d, now),
                                               .shards = kb_list_built(&shards)},
                             KB_SPAN(key, key_size));
        return r != 0 ? r
                      : cli_done(cli, "published version %llu, %zu changes", (unsigned long long)version,
                                 json_object_array_length(changes.rows));
}

int cli_run_directory_publish(struct cli *cli)
{
        return publish(cli, cli->arguments[0]);
}

/* --- editing --- */

static int write_draft(const struct cli *cli, const char *path)
{
        _cleanup_published_ struct published p = {0};
        _cleanup_fclose_ FILE *f = NULL;
        int r = get_published(cli, &p);

        if (r != 0)
                return r;
        if (!p.there)
                return cli_fail(cli, KB_E_NOT_FOUND,
                                "no directory is published there yet; write a file, and "
                                "`keybearer directory publish` it");
        f = fopen(path, "we");
        if (!f)
                return cli_fail(cli, KB_E_STORAGE, "%s: %s", path, strerror(errno));
        cli_directory_print(f, p.cluster, p.records);
        return fflush(f) == 0 ? 0 : cli_fail(cli, KB_E_STORAGE, "%s: %s", path, strerror(errno));
}

/* The editor has the terminal. */
static int run_editor(const struct cli *cli, char *path)
{
        const char *editor = getenv("VISUAL") ? getenv("VISUAL") : getenv("EDITOR");
        char *argv[] = {(char *)(uintptr_t)(editor && *editor ? editor : "editor"), path, NULL};
        pid_t pid = fork();
        int status = -1;

        if (pid == 0) {
                execvp(argv[0], argv);
                _exit(127);
        }
        while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
                ;
        return pid > 0 && status == 0 ? 0 : cli_fail(cli, KB_E_INTERNAL, "%s did not end well", argv[0]);
}

int cli_run_directory_edit(struct cli *cli)
{
        char path[] = "/tmp/keybearer-directory.XXXXXX";
        int fd = mkstemp(path), r;

        if (fd < 0)
                return cli_fail(cli, KB_E_STORAGE, "/tmp: %s", strerror(errno));
        close(fd);
        r = write_draft(cli, path);
        if (r == 0)
                r = run_editor(cli, path);
        if (r == 0)
                r = publish(cli, path);
        if (r == 0)
                unlink(path);
        else
                cli_note(cli, "what you wrote is still in %s", path);
        return r;
}
