/* SPDX-License-Identifier: Apache-2.0 */
#include "directory/nss_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

/*
 * Mappings live in slots, and slots live for ever: a thread may touch the counter of any slot at any time.
 * What the counter protects is the mapping.
 *
 *   pins > 0      somebody reads it; being the current one counts as one
 *   pins == 0     nobody does: whoever swaps 0 for BUSY may unmap it and put another mapping there
 *
 * A reader takes the current slot, raises its counter, and looks whether it is still the current one. If so,
 * the slot was not at 0 in between, and its mapping stays until the counter is lowered. If not, the reader
 * lowers it again and has touched nothing else. All of it is sequentially consistent: either the reader sees
 * that the slot was replaced, or the one who replaced it sees the reader.
 *
 * No lock, so no thread waits for another, and a fork in the middle leaves nothing locked in the child. What
 * it can leave there is the counter of a slot that a thread of the parent was in: that slot is not used
 * again, and seven are left. Without a free slot the older names are used: late by one change rather than
 * wrong.
 */
#define BUSY (1 << 24)

static void unpin(struct kb_nss_slot *slot)
{
        atomic_fetch_sub(&slot->pins, 1);
}

static struct kb_nss_slot *pin_current(struct kb_nss *nss)
{
        for (;;) {
                struct kb_nss_slot *slot = atomic_load(&nss->current);

                if (!slot)
                        return NULL;
                atomic_fetch_add(&slot->pins, 1);
                if (atomic_load(&nss->current) == slot)
                        return slot;
                unpin(slot);
        }
}

static struct kb_nss_slot *claim_slot(struct kb_nss *nss)
{
        for (unsigned i = 0; i < KB_NSS_SLOTS; i++) {
                int nobody = 0;

                if (atomic_compare_exchange_strong(&nss->slots[i].pins, &nobody, BUSY))
                        return &nss->slots[i];
        }
        return NULL;
}

/* For the one who claimed it. */
static void clear_slot(struct kb_nss_slot *slot)
{
        if (slot->view.file.data)
                munmap((void *)slot->view.file.data, slot->view.file.size);
        slot->view.file = KB_SPAN(NULL, 0);
}

/* Mappings that nobody reads any more hold the space of a file that is deleted. */
static void sweep_slots(struct kb_nss *nss)
{
        for (unsigned i = 0; i < KB_NSS_SLOTS; i++) {
                int nobody = 0;

                if (!atomic_compare_exchange_strong(&nss->slots[i].pins, &nobody, BUSY))
                        continue;
                clear_slot(&nss->slots[i]);
                atomic_fetch_sub(&nss->slots[i].pins, BUSY);
        }
}

/* --- the two files --- */

static int map_file(const struct kb_nss *nss, const char *name, struct kb_span *ret)
{
        _cleanup_close_ int fd = -1;
        struct stat st;
        char path[256];
        void *p;

        if ((size_t)snprintf(path, sizeof(path), "%s/%s", nss->folder, name) >= sizeof(path))
                return -ENAMETOOLONG;
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) || st.st_size < 8 || st.st_size > UINT32_MAX)
                return -EBADMSG;
        p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (p == MAP_FAILED)
                return -errno;
        *ret = KB_SPAN(p, (size_t)st.st_size);
        return 0;
}

static bool retired(const _Atomic uint64_t *generation)
{
        return atomic_load(generation) == KB_NSS_RETIRED;
}

/*
 * Mapped once, for the life of the process; once more when that one is retired, and then the old one stays
 * mapped too, since other threads may be looking at it.
 */
static int map_generation(struct kb_nss *nss, const _Atomic uint64_t **ret)
{
        const _Atomic uint64_t *generation = atomic_load(&nss->generation), *mapped;
        struct kb_span file;
        int r;

        if (!generation || retired(generation)) {
                r = map_file(nss, KB_NSS_GENERATION_FILE, &file);
                if (r < 0)
                        return r;
                mapped = (const void *)file.data;
                if (!retired(mapped) &&
                    atomic_compare_exchange_strong(&nss->generation, &generation, mapped))
                        generation = mapped;
                else
                        munmap((void *)file.data, file.size); /* of no use, or another thread was faster */
        }
        if (!generation)
                return -ENOENT;
        *ret = generation;
        return 0;
}

static int map_users(const struct kb_nss *nss, struct kb_nss_slot *slot)
{
        struct kb_span file;
        int r;

        clear_slot(slot);
        r = map_file(nss, KB_NSS_USERS_FILE, &file);
        if (r < 0)
                return r;
        r = kb_nss_view_init(&slot->view, file);
        if (r < 0)
                munmap((void *)file.data, file.size);
        return r;
}

/* --- opening --- */

/* Whether trying again, with nothing changed on disk, can help. */
static bool passes(int r)
{
        return r == -EMFILE || r == -ENFILE || r == -ENOMEM || r == -EAGAIN || r == -EINTR;
}

/* Maps users-1 and makes it the current one. The number is loaded first: see nss_file.h. */
static int renew(struct kb_nss *nss, struct kb_nss_slot **ret)
{
        const _Atomic uint64_t *generation;
        struct kb_nss_slot *slot, *old;
        int r;

        r = map_generation(nss, &generation);
        if (r < 0)
                return r;
        slot = claim_slot(nss);
        if (!slot)
                return -EAGAIN;
        slot->number = atomic_load(generation);
        r = slot->number == KB_NSS_RETIRED ? -ENOENT : map_users(nss, slot);
        if (r < 0) {
                atomic_fetch_sub(&slot->pins, BUSY);
                return r;
        }
        atomic_fetch_sub(&slot->pins, BUSY - 2); /* stays: one for being current, one for the caller */
        old = atomic_exchange(&nss->current, slot);
        if (old)
                unpin(old);
        *ret = slot;
        return 0;
}

/* *slot is what the caller has pinned, or NULL; it becomes what he is to use. On failure he has nothing. */
static int renew_from(struct kb_nss *nss, struct kb_nss_slot **slot)
{
        struct kb_nss_slot *older = *slot;
        int r = renew(nss, slot);

        if (r < 0 && older && passes(r))
                return 0;
        if (older)
                unpin(older);
        if (r >= 0)
                sweep_slots(nss);
        return r;
}

int kb_nss_open(struct kb_nss *nss, const struct kb_nss_view **ret)
{
        const _Atomic uint64_t *generation = atomic_load(&nss->generation);
        uint64_t number = generation ? atomic_load(generation) : 0;
        struct kb_nss_slot *slot = generation ? pin_current(nss) : NULL;
        int r, saved_errno = errno;

        if (!slot || slot->number != number) {
                r = renew_from(nss, &slot);
                errno = saved_errno;
                if (r < 0)
                        return r;
        }
        *ret = &slot->view;
        return 0;
}

void kb_nss_close(const struct kb_nss_view *view)
{
        unpin((struct kb_nss_slot *)view);
}

int kb_nss_find_user(struct kb_nss *nss, const char *name, uint32_t *ret_uid)
{
        const struct kb_nss_view *view;
        struct kb_nss_user user;
        int r = kb_nss_open(nss, &view);

        if (r < 0)
                return r;
        r = kb_nss_user_by_name(view, name, &user);
        if (r > 0)
                *ret_uid = user.uid;
        kb_nss_close(view);
        return r;
}

int kb_nss_id_range(struct kb_nss *nss, struct kb_id_range *ret)
{
        const struct kb_nss_view *view;
        int r = kb_nss_open(nss, &view);

        if (r < 0)
                return r;
        *ret = view->range;
        kb_nss_close(view);
        return 0;
}
