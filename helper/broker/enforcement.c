/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/broker/enforcement.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "common/file.h"
#include "directory/nss_publish.h"

#define KEPT_FILE "current"
#define KEPT_MAX  (KB_DIRECTORY_SIZE_MAX + 256)

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
        kb_write_bytes(&w, KB_SPAN(e->records.data, e->records.size), KB_DIRECTORY_SIZE_MAX);
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
        records = kb_read_bytes(&reader, KB_DIRECTORY_SIZE_MAX);
        if (kb_reader_end(&reader) < 0)
                return fail(e, "the last good directory is damaged", -EBADMSG);
        e->records = kb_writer_init(KB_DIRECTORY_SIZE_MAX);
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

/* --- in force --- */

static int judge(struct kb_enforcement *e, struct kb_directory **ret)
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
        r = kb_directory_load(ret, KB_SPAN(e->records.data, e->records.size), &options, &refused);
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

        if (r >= 0 && e->from_disk)
                r = check_expected(e);
        if (r >= 0)
                r = judge(e, &directory);
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
