/* SPDX-License-Identifier: Apache-2.0 */
/* `store ...`: how it is, and what takes its time: a new root key, backup, restore. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "helper/store/local/backup.h"
#include "helper/store/local/damage.h"
#include "helper/store/local/long_work.h"
#include "helper/store/local/restore.h"
#include "helper/store/local/rotate.h"

/* --- status --- */

enum kb_error kb_admin_store_status(struct kb_admin_call *call)
{
        kb_local_facts(call->service, &call->rows.row);
        kb_rows_next(&call->rows);
        return KB_E_OK;
}

/* --- rotate-key --- */

static int rotate_step(void *state, struct kb_progress_record *progress)
{
        struct kb_rotation *rotation = state;
        int r = kb_rotate_step(rotation);

        *progress = (struct kb_progress_record){.done = rotation->done, .total = rotation->total};
        return r;
}

static enum kb_error rotate_finish(void *state, struct kb_admin_call *call)
{
        const struct kb_rotation *rotation = state;

        kb_rows_number(&call->rows, "root-key", kb_keyring_newest(rotation->local->keys));
        kb_rows_number(&call->rows, "records", rotation->done - rotation->skipped);
        kb_rows_number(&call->rows, "left-behind", rotation->skipped);
        kb_rows_next(&call->rows);
        return KB_E_OK;
}

/* Goes on when the peer is gone: half a rotation is worse than one that nobody watched. */
static const struct kb_long_kind rotate_kind = {
        .doing = "making a new root key",
        .when_damaged = "; or leave it behind: keybearer store rotate-key damaged=skip",
        .step = rotate_step,
        .finish = rotate_finish,
        .free = free,
};

/* Before anything is begun: a state of two works at once would be nobody's. */
static bool busy(struct kb_admin_call *call)
{
        if (!kb_long_busy(call))
                return false;
        kb_admin_answer(call, KB_E_BUSY);
        return true;
}

void kb_admin_store_rotate(struct kb_admin_call *call)
{
        _cleanup_free_ struct kb_rotation *rotation = calloc(1, sizeof(*rotation));
        const char *damaged = kb_admin_text(call, "damaged", "stop");
        struct kb_local *l = call->service->local;
        int r;

        if (busy(call))
                return;
        if (strcmp(damaged, "stop") != 0 && strcmp(damaged, "skip") != 0) {
                kb_admin_answer(call,
                                kb_problem(&call->problem, KB_E_BAD_REQUEST, "damaged is stop or skip"));
                return;
        }
        r = rotation ? kb_rotate_begin(rotation, l, strcmp(damaged, "skip") == 0) : -ENOMEM;
        if (r < 0)
                kb_admin_answer(call, kb_damage_problem(l, &call->problem, r, rotate_kind.doing));
        else
                kb_long_start(call, &rotate_kind, take_ptr(rotation));
}

/* --- backup --- */

struct sending {
        struct kb_backup *backup;
        struct kb_writer out; /* what the progress record points to */
        bool last;            /* the last piece is on its way */
};

static void sending_free(void *state)
{
        struct sending *s = state;

        kb_backup_free(s->backup);
        kb_writer_done(&s->out);
        free(s);
}

static int backup_step(void *state, struct kb_progress_record *progress)
{
        struct sending *s = state;
        int r;

        if (s->last)
                return 0;
        kb_writer_done(&s->out);
        s->out = kb_writer_init(4 * KB_BACKUP_PIECE);
        r = kb_backup_step(s->backup, &s->out, &progress->done, &progress->total);
        if (r < 0)
                return r;
        s->last = r == 0;
        progress->chunk = KB_SPAN(s->out.data, s->out.size);
        return 1;
}

static const struct kb_long_kind backup_kind = {
        .doing = "making the backup",
        .needs_peer = true,
        .step = backup_step,
        .free = sending_free,
};

void kb_admin_store_backup(struct kb_admin_call *call)
{
        struct sending *s;
        int r;

        if (busy(call))
                return;
        if (kb_rotate_unfinished(call->service->local)) {
                kb_admin_answer(
                        call,
                        kb_problem(
                                &call->problem, KB_E_CONFLICT,
                                "a new root key is half made: finish it with `keybearer store rotate-key`"));
                return;
        }
        s = calloc(1, sizeof(*s));
        r = s ? kb_backup_new(&s->backup, call->service->local, call->now) : -ENOMEM;
        if (r < 0) {
                free(s);
                kb_admin_answer(call, kb_problem_errno(&call->problem, r, "making the backup"));
                return;
        }
        kb_long_start(call, &backup_kind, s);
}

/* --- restore --- */

enum kb_error kb_admin_store_restore_part(struct kb_admin_call *call)
{
        struct kb_span data = {};
        uint64_t offset;

        if (kb_long_busy(call))
                return KB_E_BUSY;
        if (!kb_parse_number(kb_admin_text(call, "offset", ""), &offset) || offset > INT64_MAX / 2)
                return kb_problem(&call->problem, KB_E_BAD_REQUEST, "offset is a number of bytes");
        kb_admin_given(call, "data", &data);
        return kb_restore_upload(call->service->local, offset, data, &call->problem);
}

/* Without a secret it is this host's own: the backup is from here. */
enum kb_error kb_admin_store_restore_begin(struct kb_admin_call *call)
{
        int r;

        if (call->service->local->lock_fd < 0)
                return kb_local_ready(call->service->local, &call->problem);
        if (kb_admin_given(call, "secret", &call->secret->given))
                return kb_admin_choose_slot(call, kb_restore_slots);
        r = kb_service_credential(secure_getenv("CREDENTIALS_DIRECTORY"), call->secret->slot,
                                  call->secret->seed);
        if (r < 0)
                return kb_problem(
                        &call->problem, KB_E_BAD_REQUEST,
                        "secret is missing: a passphrase or a recovery code of the backup (--ask); "
                        "a store that runs since before its setup has to be started anew to open "
                        "its own backups without one");
        return KB_E_OK;
}

static int restore_step(void *state, struct kb_progress_record *progress)
{
        return kb_restore_step(state, &progress->done, &progress->total);
}

/* Whether the credential of this process opens what was restored: it will be handed the same at its next
 * start. */
static bool opens_at_start(struct kb_local *l)
{
        uint8_t seed[KB_SLOT_SEED_SIZE];
        char slot[65];
        int r = kb_service_credential(secure_getenv("CREDENTIALS_DIRECTORY"), slot, seed);

        if (r >= 0)
                r = kb_slot_opens(l, slot, seed);
        kb_wipe(seed, sizeof(seed));
        return r > 0;
}

static enum kb_error restore_finish(void *state, struct kb_admin_call *call)
{
        enum kb_error error = kb_restore_finish(state, call->now, &call->problem);

        if (error != KB_E_OK)
                return error;
        kb_rows_text(&call->rows, "opens-at-start", opens_at_start(call->service->local) ? "yes" : "no");
        kb_rows_next(&call->rows);
        return KB_E_OK;
}

static void restore_free(void *state)
{
        kb_restore_free(state);
}

static const struct kb_long_kind restore_kind = {
        .doing = "restoring the backup",
        .step = restore_step,
        .finish = restore_finish,
        .free = restore_free,
};

void kb_admin_store_restore(struct kb_admin_call *call)
{
        struct kb_restore *restore;
        enum kb_error error;

        if (busy(call))
                return;
        error = kb_restore_new(&restore, call->service->local, call->secret->slot, call->secret->seed,
                               &call->problem);
        if (error != KB_E_OK)
                kb_admin_answer(call, error);
        else
                kb_long_start(call, &restore_kind, restore);
}
