/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/broker/folder.h"

#include <errno.h>
#include <stdio.h>

#include "helper/grant/format.h"
#include "helper/grant/sdcred.h"

#define FILES_MAX 256 /* of one consumer, all its credentials together */

struct kb_folder {
        struct kb_publish_file files[FILES_MAX];
        char names[FILES_MAX][2 * KB_CREDENTIAL_NAME_MAX + 2];
        struct kb_writer wholes[FILES_MAX]; /* of the files that are a whole secret */
        size_t n;
        int error; /* the first */
};

struct kb_folder *kb_folder_new(void)
{
        return calloc(1, sizeof(struct kb_folder));
}

void kb_folder_free(struct kb_folder *folder)
{
        if (!folder)
                return;
        for (size_t i = 0; i < folder->n; i++)
                kb_writer_done(&folder->wholes[i]);
        free(folder);
}

/* The next file: NAME, or NAME.FIELD. */
static struct kb_publish_file *next_file(struct kb_folder *f, const char *credential, const char *field)
{
        if (f->n == FILES_MAX) {
                f->error = -E2BIG;
                return NULL;
        }
        snprintf(f->names[f->n], sizeof(f->names[f->n]), "%s%s%s", credential, field[0] ? "." : "", field);
        f->files[f->n] = (struct kb_publish_file){.name = f->names[f->n]};
        return &f->files[f->n++];
}

/* The whole secret as the credential's Format= or Template= writes it, where that can be done at all. */
static void add_whole(struct kb_folder *f, const struct kb_held *held, const struct kb_lease *lease)
{
        const struct kb_credential *definition = kb_grants_definition(held, lease);
        struct kb_writer whole = kb_writer_init(KB_SDCRED_PLAIN_MAX);
        struct kb_fields_problem problem;
        struct kb_publish_file *file;

        if (!definition || kb_format_write(definition, lease->fields, "", &whole, &problem) < 0) {
                kb_writer_done(&whole);
                return;
        }
        if (whole.size == 0)
                f->error = -ENODATA;
        file = next_file(f, held->grant.credential, "");
        if (!file) {
                kb_writer_done(&whole);
                return;
        }
        f->wholes[f->n - 1] = whole;
        file->value = KB_SPAN(whole.data, whole.size);
}

/* Where the files of a lease are: of the one before the offered one, in the folder before that was offered.
 */
static void carry(struct kb_folder *f, const struct kb_held *held, const struct kb_lease *lease)
{
        struct kb_publish_file *file = next_file(f, held->grant.credential, "");

        if (!file)
                return;
        file->carried = true;
        file->from = lease->role == KB_LEASE_CURRENT ? held->before : 0;
}

void kb_folder_add(struct kb_folder *f, const struct kb_held *held)
{
        const struct kb_lease *lease = kb_grants_shown(held);

        if (!lease->fields) { /* handed out before a restart of ours: what the folder has stays */
                carry(f, held, lease);
                return;
        }
        add_whole(f, held, lease);
        for (size_t i = 0; i < lease->fields->count; i++) {
                struct kb_publish_file *file =
                        next_file(f, held->grant.credential, lease->fields->field[i].name);

                if (file)
                        file->value = lease->fields->field[i].value;
        }
}

int kb_folder_publish_beside(const struct kb_folder *f, int base_fd, const char *name, uid_t uid, gid_t gid,
                             struct kb_publish_keep keep)
{
        return f->error < 0 ? f->error : kb_publish_beside(base_fd, name, f->files, f->n, uid, gid, keep);
}

int kb_folder_publish(const struct kb_folder *f, int base_fd, const char *name, uid_t uid, gid_t gid)
{
        return kb_folder_publish_beside(f, base_fd, name, uid, gid, (struct kb_publish_keep){NULL, 0});
}
