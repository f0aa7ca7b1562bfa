/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/local/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "helper/store/local/rotate.h"

#define COPY_FILE "backup.tmp"
#define PAGES     64 /* per step of copying */
#define SALT_SIZE 16

struct kb_backup {
        struct kb_local *local;
        char path[PATH_MAX];
        uint64_t now;
        uint64_t generation;

        /* while copying */
        sqlite3 *copy;
        sqlite3_backup *pages;

        /* while sending */
        int fd; /* the copy, without a name by now; -1 before */
        uint64_t size, sent;
        struct kb_backup_stream stream;
};

int kb_backup_new(struct kb_backup **ret, struct kb_local *l, uint64_t now)
{
        _cleanup_(kb_backup_freep) struct kb_backup *b = NULL;
        _cleanup_close_ int made = -1;
        int r;

        if (kb_rotate_unfinished(l))
                return -EBUSY;
        b = kb_secret_alloc(sizeof(*b));
        if (!b)
                return -ENOMEM;
        b->fd = -1;
        b->local = l;
        b->now = now;
        b->generation = kb_keyring_newest(l->keys);
        snprintf(b->path, sizeof(b->path), "%s/" COPY_FILE, l->folder);
        unlink(b->path); /* of a backup that was killed */
        /* By us: SQLite tries again for reading where it cannot, and then knows only that there is no file.
         */
        made = open(b->path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (made < 0)
                return -errno;
        r = sqlite3_open_v2(b->path, &b->copy, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOFOLLOW, NULL);
        if (r == SQLITE_OK)
                r = sqlite3_exec(b->copy, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF", NULL, NULL,
                                 NULL);
        if (r != SQLITE_OK)
                return kb_db_errno(r, sqlite3_system_errno(b->copy));
        b->pages = sqlite3_backup_init(b->copy, "main", kb_db_handle(l->db), "main");
        if (!b->pages)
                return kb_db_errno(sqlite3_errcode(b->copy), sqlite3_system_errno(b->copy));
        *ret = take_ptr(b);
        return 0;
}

void kb_backup_free(struct kb_backup *b)
{
        if (!b)
                return;
        sqlite3_backup_finish(b->pages);
        sqlite3_close(b->copy);
        if (b->fd >= 0)
                close(b->fd);
        unlink(b->path);
        kb_secret_free(b);
}

/* --- the header --- */

static int collect_slots(struct kb_backup *b, struct kb_list_builder *slots)
{
        _cleanup_query_ struct kb_query q = {};
        int r = kb_db_query(b->local->db, &q,
                            "SELECT s.name, s.kind, s.parameters, x.box, x.mac FROM slots s"
                            " JOIN boxes x ON x.slot = s.name WHERE x.generation = ? ORDER BY s.name",
                            "u", b->generation);

        while (r >= 0 && (r = kb_query_next(&q)) > 0)
                kb_backup_slot_add(slots, &(struct kb_backup_slot){
                                                  .name = kb_query_string(&q, 0),
                                                  .kind = kb_query_string(&q, 1),
                                                  .parameters = kb_query_blob(&q, 2),
                                                  .box = kb_query_blob(&q, 3),
                                                  .mac = kb_query_blob(&q, 4),
                                          });
        return r < 0 ? r : kb_writer_end(&slots->writer);
}

static int write_header(struct kb_backup *b, struct kb_writer *out)
{
        _cleanup_list_ struct kb_list_builder slots = kb_list_builder_init(KB_BACKUP_HEADER_MAX / 2);
        uint8_t salt[SALT_SIZE];
        struct kb_backup_header header = {
                .id = b->local->identity.id,
                .created = b->now,
                .changes = b->local->identity.changes,
                .generation = b->generation,
                .size = b->size,
                .salt = KB_SPAN(salt, sizeof(salt)),
        };
        size_t begin = out->size;
        int r = kb_crypto_random(salt, sizeof(salt));

        if (r >= 0)
                r = collect_slots(b, &slots);
        if (r < 0)
                return r;
        header.slots = kb_list_built(&slots);
        r = kb_backup_header_put(out, &header);
        if (r < 0)
                return r;
        return kb_backup_stream_init(&b->stream, kb_keyring_root(b->local->keys, b->generation), header.salt,
                                     KB_SPAN(out->data + begin, out->size - begin));
}

/* --- steps --- */

/* The copy is whole: from now on it is a file without a name, which no crash leaves behind. */
static int begin_sending(struct kb_backup *b, struct kb_writer *out)
{
        struct stat st;
        int r;

        sqlite3_backup_finish(b->pages);
        b->pages = NULL;
        r = sqlite3_close(b->copy);
        b->copy = NULL;
        if (r != SQLITE_OK)
                return -EIO;
        b->fd = open(b->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (b->fd < 0 || fstat(b->fd, &st) < 0)
                return -errno;
        unlink(b->path);
        b->size = (uint64_t)st.st_size;
        if (!kb_keyring_has(b->local->keys, b->generation))
                return -ENOKEY; /* sealed meanwhile */
        return write_header(b, out);
}

static int copy_step(struct kb_backup *b, struct kb_writer *out)
{
        int r = sqlite3_backup_step(b->pages, PAGES);

        if (r == SQLITE_DONE)
                return begin_sending(b, out);
        return r == SQLITE_OK ? 0 : kb_db_errno(r, sqlite3_system_errno(b->copy));
}

static int send_step(struct kb_backup *b, struct kb_writer *out)
{
        _cleanup_secret_ uint8_t *piece = kb_secret_alloc(KB_BACKUP_PIECE);
        ssize_t n;
        bool last;
        int r;

        if (!piece)
                return -ENOMEM;
        n = pread(b->fd, piece, KB_BACKUP_PIECE, (off_t)b->sent);
        if (n <= 0)
                return n < 0 ? -errno : -EIO;
        b->sent += (uint64_t)n;
        last = b->sent >= b->size;
        r = kb_backup_stream_seal(&b->stream, KB_SPAN(piece, n), last, out);
        return r < 0 ? r : !last;
}

/* Copying counts as half of the work. */
int kb_backup_step(struct kb_backup *b, struct kb_writer *out, uint64_t *ret_done, uint64_t *ret_total)
{
        int r;

        if (b->fd >= 0) {
                r = send_step(b, out);
                *ret_done = b->size + b->sent;
                *ret_total = 2 * b->size;
                return r;
        }
        r = copy_step(b, out);
        if (r < 0)
                return r;
        if (b->pages) {
                *ret_total = 2 * (uint64_t)sqlite3_backup_pagecount(b->pages) * 4096;
                *ret_done = *ret_total / 2 - (uint64_t)sqlite3_backup_remaining(b->pages) * 4096;
        } else {
                *ret_total = 2 * b->size;
                *ret_done = b->size;
        }
        return 1;
}
