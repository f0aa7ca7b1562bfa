/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/local/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file.h"
#include "helper/store/local/schema.h"
#include "helper/store/local/swap.h"

#define UPLOAD_FILE "restore.upload"
#define HEAD_MAX    (KB_BACKUP_HEADER_MAX + 64)
#define FRAME_MAX   (4 + KB_BACKUP_PIECE + KB_TAG_SIZE)

struct kb_restore {
        struct kb_local *local;
        uint64_t generation, size;
        uint8_t root[KB_KEY_SIZE];
        struct kb_backup_stream stream;
        int in, out;
        uint64_t taken, upload_size, written;
};

static void in_folder(const struct kb_local *l, const char *file, char ret[PATH_MAX])
{
        snprintf(ret, PATH_MAX, "%s/%s", l->folder, file);
}

/* --- the upload --- */

enum kb_error kb_restore_upload(struct kb_local *l, uint64_t offset, struct kb_span data,
                                struct kb_problem *problem)
{
        _cleanup_close_ int fd = -1;
        char path[PATH_MAX];
        struct stat st;
        int r;

        in_folder(l, UPLOAD_FILE, path);
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | (offset == 0 ? O_TRUNC : 0), 0600);
        if (fd < 0 || fstat(fd, &st) < 0)
                return kb_problem_errno(problem, -errno, "keeping the upload");
        if ((uint64_t)st.st_size != offset)
                return kb_problem(problem, KB_E_CONFLICT, "the upload is at %llu, not at %llu",
                                  (unsigned long long)st.st_size, (unsigned long long)offset);
        r = kb_file_pwrite_all(fd, data, offset);
        if (r < 0) {
                if (ftruncate(fd, (off_t)offset) < 0)
                        unlink(path);
                return kb_problem_errno(problem, r, "keeping the upload");
        }
        return KB_E_OK;
}

/* Opens the upload and reads its header, which then points into *head. The bytes that the header takes. */
static ssize_t open_upload(struct kb_local *l, int *ret_fd, struct kb_writer *head,
                           struct kb_backup_header *ret)
{
        _cleanup_close_ int fd = -1;
        _cleanup_secret_ uint8_t *bytes = kb_secret_alloc(HEAD_MAX);
        char path[PATH_MAX];
        ssize_t n;

        if (!bytes)
                return -ENOMEM;
        in_folder(l, UPLOAD_FILE, path);
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return -errno;
        n = pread(fd, bytes, HEAD_MAX, 0);
        if (n < 0)
                return -errno;
        kb_write_raw(head, KB_SPAN(bytes, n));
        if (kb_writer_end(head) < 0)
                return -ENOMEM;
        n = kb_backup_header_get(KB_SPAN(head->data, head->size), ret);
        if (n <= 0)
                return -EBADMSG; /* also one that is cut */
        *ret_fd = take_fd(fd);
        return n;
}

int kb_restore_slots(struct kb_local *l, int (*each)(const struct kb_slot *slot, void *userdata),
                     void *userdata)
{
        _cleanup_writer_ struct kb_writer head = kb_writer_init(HEAD_MAX);
        _cleanup_close_ int fd = -1;
        struct kb_backup_header header;
        struct kb_backup_slot slot;
        struct kb_span element;
        ssize_t n = open_upload(l, &fd, &head, &header);
        int r = n < 0 ? (int)n : 0;

        while (r == 0 && kb_list_next(&header.slots, &element)) {
                struct kb_slot s = {};

                r = kb_backup_slot_get(element, &slot);
                if (r < 0)
                        break;
                snprintf(s.name, sizeof(s.name), "%s", slot.name);
                snprintf(s.kind, sizeof(s.kind), "%s", slot.kind);
                s.parameters = slot.parameters;
                r = each(&s, userdata);
        }
        return r;
}

/* --- opening --- */

static int find_slot(struct kb_list slots, const char *name, struct kb_backup_slot *ret)
{
        struct kb_span element;

        while (kb_list_next(&slots, &element)) {
                int r = kb_backup_slot_get(element, ret);

                if (r < 0 || strcmp(ret->name, name) == 0)
                        return r;
        }
        return -ENOENT;
}

static int unlock(struct kb_restore *r, const struct kb_backup_header *header, const char *name,
                  const uint8_t seed[KB_SLOT_SEED_SIZE])
{
        struct kb_backup_slot slot;
        int e = find_slot(header->slots, name, &slot);

        if (e >= 0)
                e = kb_slot_open_box(name, header->generation, slot.box, slot.mac, seed, r->root);
        return e;
}

static int prepare(struct kb_restore *r, const char *slot, const uint8_t seed[KB_SLOT_SEED_SIZE])
{
        _cleanup_writer_ struct kb_writer head = kb_writer_init(HEAD_MAX);
        struct kb_backup_header header;
        char path[PATH_MAX];
        struct stat st;
        ssize_t n = open_upload(r->local, &r->in, &head, &header);
        int e;

        if (n < 0)
                return (int)n;
        e = unlock(r, &header, slot, seed);
        if (e >= 0)
                e = kb_backup_stream_init(&r->stream, r->root, header.salt, KB_SPAN(head.data, n));
        if (e < 0)
                return e == -EBADMSG ? -EKEYREJECTED : e;
        if (fstat(r->in, &st) < 0)
                return -errno;
        e = kb_swap_drop(r->local->folder); /* of a restore that was killed */
        if (e < 0)
                return e;
        in_folder(r->local, KB_SWAP_FILE, path);
        r->out = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (r->out < 0)
                return -errno;
        r->taken = (uint64_t)n;
        r->upload_size = (uint64_t)st.st_size;
        r->generation = header.generation;
        r->size = header.size;
        return 0;
}

enum kb_error kb_restore_new(struct kb_restore **ret, struct kb_local *l, const char *slot,
                             const uint8_t seed[KB_SLOT_SEED_SIZE], struct kb_problem *problem)
{
        _cleanup_(kb_restore_freep) struct kb_restore *r = kb_secret_alloc(sizeof(*r));
        int e;

        if (!r)
                return kb_problem_errno(problem, -ENOMEM, "opening the backup");
        r->in = r->out = -1;
        r->local = l;
        e = prepare(r, slot, seed);
        if (e == -EKEYREJECTED)
                return kb_problem(problem, KB_E_BAD_SECRET, "this does not open slot %s of the backup",
                                  slot);
        if (e == -ENOENT)
                return kb_problem(problem, KB_E_NOT_FOUND, "the backup has no slot %s, or none was uploaded",
                                  slot);
        if (e < 0)
                return kb_problem_errno(problem, e, "opening the backup");
        *ret = take_ptr(r);
        return KB_E_OK;
}

void kb_restore_free(struct kb_restore *r)
{
        if (!r)
                return;
        if (r->in >= 0)
                close(r->in);
        if (r->out >= 0) {
                close(r->out);
                (void)!kb_swap_drop(r->local->folder); /* else the next restore does */
        }
        kb_secret_free(r);
}

int kb_restore_step(struct kb_restore *r, uint64_t *ret_done, uint64_t *ret_total)
{
        _cleanup_writer_ struct kb_writer plain = kb_writer_init(KB_BACKUP_PIECE);
        _cleanup_secret_ uint8_t *frame = kb_secret_alloc(FRAME_MAX);
        ssize_t n;
        int e;

        if (!frame)
                return -ENOMEM;
        n = pread(r->in, frame, FRAME_MAX, (off_t)r->taken);
        if (n < 0)
                return -errno;
        n = kb_backup_stream_open(&r->stream, KB_SPAN(frame, n), &plain);
        if (n <= 0)
                return n < 0 ? (int)n : -EBADMSG; /* cut */
        e = kb_file_pwrite_all(r->out, KB_SPAN(plain.data, plain.size), r->written);
        if (e < 0)
                return e;
        r->taken += (uint64_t)n;
        r->written += plain.size;
        *ret_done = r->taken;
        *ret_total = r->upload_size;
        if (!r->stream.ended)
                return 1;
        return r->taken == r->upload_size && r->written == r->size ? 0 : -EBADMSG;
}

/* --- in its place --- */

/* Whether the file is a database of ours that this root key opens. Brings its schema up to date too. */
static int check(struct kb_restore *r, struct kb_keyring *keys)
{
        _cleanup_(kb_db_freep) struct kb_db *db = NULL;
        _cleanup_object_ struct kb_object o = {};
        struct kb_shelf shelf;
        int e = kb_db_open(&db, r->local->folder, KB_SWAP_FILE, false, kb_schema, kb_schema_size);

        if (e >= 0)
                e = kb_keyring_add(keys, r->generation, r->root);
        if (e < 0)
                return e;
        shelf = (struct kb_shelf){.db = db, .keys = keys};
        e = kb_object_get(&shelf, "store", "identity", &o);
        return e == 0 ? -EUCLEAN : e < 0 ? e : 0;
}

static int replace(struct kb_restore *r)
{
        if (fsync(r->out) < 0)
                return -errno;
        kb_local_close(r->local);
        return kb_swap(r->local->folder);
}

enum kb_error kb_restore_finish(struct kb_restore *r, uint64_t now, struct kb_problem *problem)
{
        _cleanup_(kb_keyring_freep) struct kb_keyring *keys = NULL;
        struct kb_local *l = r->local;
        char upload[PATH_MAX];
        int e = kb_keyring_new(&keys);

        if (e >= 0)
                e = check(r, keys);
        if (e >= 0)
                e = replace(r);
        kb_local_reopen(l); /* the old one when it came to nothing, sealed in any case */
        if (e < 0)
                return kb_problem_errno(problem, e, "putting the restored database in its place");
        if (l->state != KB_LOCAL_SEALED)
                return kb_local_ready(l, problem);
        e = kb_keyring_add(l->keys, r->generation, r->root);
        if (e < 0)
                return kb_problem_errno(problem, e, "opening the restored database");
        in_folder(l, UPLOAD_FILE, upload);
        unlink(upload);
        return kb_local_restored(l, now, problem);
}
