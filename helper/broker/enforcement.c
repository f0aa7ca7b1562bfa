/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/broker/enforcement.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/file.h"
#include "directory/nss_publish.h"
#include "directory/signature.h"
#include "helper/config/store.h"

#define KEPT_FILE    "current"
#define DOCUMENT_MAX (KB_DIRECTORY_SIZE_MAX + KB_HEAD_MAX)
#define KEPT_MAX     (DOCUMENT_MAX + 256)

static int open_folder(const char *path)
{
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        return fd < 0 ? -errno : fd;
}

static int fail(struct kb_enforcement *e, const char *what, int r)
{
        snprintf(e->problem, sizeof(e->problem), "%s: %s", what, strerror(-r));
        return r;
}

/* --- the last good one --- */

static int keep(const struct kb_enforcement *e)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(KEPT_MAX);
        _cleanup_close_ int folder = open_folder(e->places.directory);

        if (folder < 0)
                return folder;
        kb_write_string(&w, e->store, KB_CREDENTIAL_NAME_MAX);
        kb_write_u64(&w, e->version);
        kb_write_u64(&w, e->not_after);
        kb_write_u64(&w, e->confirmed);
        kb_write_bytes(&w, KB_SPAN(e->records.data, e->records.size), DOCUMENT_MAX);
        if (kb_writer_end(&w) < 0)
                return kb_writer_end(&w);
        return kb_file_write_at(folder, KEPT_FILE, KB_SPAN(w.data, w.size), 0600);
}

void kb_confirmed_put(struct kb_writer *w, uint64_t version, uint64_t confirmed)
{
        kb_write_u64(w, version);
        kb_write_u64(w, confirmed);
}

/* Counts only when it is about this version: the two are not written together. */
static void read_confirmed(int folder, struct kb_enforcement *e)
{
        _cleanup_secret_ uint8_t *data = NULL;
        uint64_t version, confirmed;
        struct kb_reader reader;
        size_t size;

        if (kb_file_read_at(folder, KB_CONFIRMED_FILE, 16, &data, &size) < 0)
                return;
        reader = kb_reader_init(KB_SPAN(data, size));
        version = kb_read_u64(&reader);
        confirmed = kb_read_u64(&reader);
        if (kb_reader_end(&reader) >= 0 && version == e->version && confirmed > e->confirmed)
                e->confirmed = confirmed;
}

static int read_kept(struct kb_enforcement *e)
{
        _cleanup_close_ int folder = open_folder(e->places.directory);
        _cleanup_secret_ uint8_t *data = NULL;
        struct kb_reader reader;
        struct kb_span records;
        size_t size;
        int r = folder < 0 ? folder : kb_file_read_at(folder, KEPT_FILE, KEPT_MAX, &data, &size);

        if (r < 0)
                return fail(e, "the last good directory cannot be read", r);
        reader = kb_reader_init(KB_SPAN(data, size));
        snprintf(e->store, sizeof(e->store), "%s", kb_read_string(&reader, KB_CREDENTIAL_NAME_MAX));
        e->version = kb_read_u64(&reader);
        e->not_after = kb_read_u64(&reader);
        e->confirmed = kb_read_u64(&reader);
        records = kb_read_bytes(&reader, DOCUMENT_MAX);
        if (kb_reader_end(&reader) < 0)
                return fail(e, "the last good directory is damaged", -EBADMSG);
        e->records = kb_writer_init(DOCUMENT_MAX);
        kb_write_raw(&e->records, records);
        r = kb_writer_end(&e->records);
        if (r < 0)
                return fail(e, "the last good directory", r);
        read_confirmed(folder, e);
        return 0;
}

/* What could not be kept left an older one behind. */
static int check_expected(struct kb_enforcement *e)
{
        if (!e->expected_store ||
            (e->version == e->expected_version && strcmp(e->store, e->expected_store) == 0))
                return 0;
        snprintf(e->problem, sizeof(e->problem), "the directory on disk is not the one that is in force");
        return -ESTALE;
}

/* --- who vouches for it --- */

static int refuse(struct kb_enforcement *e, const char *format, ...) _printf_(2, 3);
static int refuse(struct kb_enforcement *e, const char *format, ...)
{
        va_list arguments;

        va_start(arguments, format);
        vsnprintf(e->problem, sizeof(e->problem), format, arguments);
        va_end(arguments);
        return -EBADMSG;
}

static int read_keys(struct kb_enforcement *e, struct kb_directory_keys **ret)
{
        const struct kb_config_trust trust = {.owner = e->places.key_owner};
        _cleanup_problems_ struct kb_problems problems = {0};
        _cleanup_free_ char *bytes = NULL;
        size_t size;
        int r = kb_config_file_read(e->places.key, &trust, &problems, &bytes, &size);

        if (r == -ENOENT)
                return refuse(e, "%s is missing: put the public key of those who sign the directory there",
                              e->places.key);
        if (r == -EBADMSG)
                return refuse(e, "%s: %s", e->places.key, problems.problems[0].text);
        if (r >= 0)
                r = kb_directory_keys_new(ret, KB_SPAN(bytes, size));
        if (r == -EBADMSG)
                return refuse(e, "%s holds no public key for Ed25519 in PEM", e->places.key);
        return r < 0 ? fail(e, "the keys of those who sign the directory", r) : 0;
}

/* Whether it may follow what was there. A directory signed long ago is as well signed as the newest. */
static int check_mark(struct kb_enforcement *e, const struct kb_head *head)
{
        const struct kb_enforcement_mark *mark = &e->mark;
        bool named = e->cluster && e->cluster[0];

        if (named && strcmp(head->cluster, e->cluster) != 0)
                return refuse(e, "the directory is that of cluster %s, and Cluster= wants %s", head->cluster,
                              e->cluster);
        if (!mark->cluster[0])
                return 0;
        if (strcmp(head->cluster, mark->cluster) != 0)
                return named ? 0
                             : refuse(e,
                                      "the directory is that of cluster %s, and this host's was that of %s: "
                                      "if that is meant, say so with Cluster=",
                                      head->cluster, mark->cluster);
        if (head->version < mark->version)
                return refuse(e, "version %llu of the directory is older than %llu, which was here before",
                              (unsigned long long)head->version, (unsigned long long)mark->version);
        return 0;
}

/* The records of the document, once somebody vouches for them. */
static int check_signed(struct kb_enforcement *e, struct kb_span *ret_records)
{
        _cleanup_(kb_directory_keys_freep) struct kb_directory_keys *keys = NULL;
        const char *problem = "";
        struct kb_head head;
        int r = read_keys(e, &keys);

        if (r < 0)
                return r;
        r = kb_signature_check(keys, KB_SPAN(e->records.data, e->records.size), &head, ret_records,
                               &problem);
        if (r < 0)
                return refuse(e, "%s", problem);
        if (head.version != e->version)
                return refuse(e, "the store calls it version %llu, and it is signed as %llu",
                              (unsigned long long)e->version, (unsigned long long)head.version);
        r = check_mark(e, &head);
        if (r < 0)
                return r;
        e->not_after = head.not_after;
        e->mark.version = head.version;
        snprintf(e->mark.cluster, sizeof(e->mark.cluster), "%s", head.cluster);
        return 0;
}

static int vouched(struct kb_enforcement *e, struct kb_span *ret_records)
{
        if (strcmp(e->store, KB_STORE_LOCAL) != 0)
                return check_signed(e, ret_records);
        e->mark = (struct kb_enforcement_mark){0};
        *ret_records = KB_SPAN(e->records.data, e->records.size);
        return 0;
}

/* --- in force --- */

static int judge(struct kb_enforcement *e, struct kb_span records, struct kb_directory **ret)
{
        _cleanup_(kb_files_db_freep) struct kb_files_db *files = NULL;
        struct kb_directory_options options = {.range = e->range};
        char passwd[512], group[512];
        struct kb_refused refused;
        int r;

        snprintf(passwd, sizeof(passwd), "%s/passwd", e->places.accounts);
        snprintf(group, sizeof(group), "%s/group", e->places.accounts);
        r = kb_files_db_load(&files, passwd, group);
        if (r < 0)
                return fail(e, "this host's own accounts cannot be read", r);
        options.files = files;
        r = kb_directory_load(ret, records, &options, &refused);
        if (r == -EBADMSG)
                kb_refused_format(&refused, e->problem, sizeof(e->problem));
        else if (r < 0)
                fail(e, "the directory", r);
        return r;
}

static int publish(struct kb_enforcement *e, const struct kb_directory *directory)
{
        _cleanup_close_ int folder = open_folder(e->places.nss);
        int r = folder < 0 ? folder : kb_nss_publish(folder, directory);

        return r < 0 ? fail(e, "the name service's file cannot be written", r) : 0;
}

int kb_enforcement_run(struct kb_enforcement *e)
{
        _cleanup_(kb_directory_freep) struct kb_directory *directory = NULL;
        int r = e->from_disk ? read_kept(e) : 0;
        struct kb_span records;

        if (r >= 0 && e->from_disk)
                r = check_expected(e);
        if (r >= 0)
                r = vouched(e, &records);
        if (r >= 0)
                r = judge(e, records, &directory);
        /* First, so that whoever is killed in between publishes this one again, and none that is older. */
        if (r >= 0 && !e->from_disk)
                e->keep_error = keep(e);
        if (r >= 0)
                r = publish(e, directory);
        if (r < 0)
                return r;
        e->directory = take_ptr(directory);
        return 0;
}

void kb_enforcement_done(struct kb_enforcement *e)
{
        kb_writer_done(&e->records);
        kb_directory_free(e->directory);
        e->directory = NULL;
}
