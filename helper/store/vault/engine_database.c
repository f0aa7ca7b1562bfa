/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Credentials of databases. Dynamic ones are leased. The password of a static role is changed by the server,
 * under whoever holds it, every so often: its lease ends then. What is about to end is never given out:
 * it is read until the server has changed it, which may be seconds late, and the new one given out at once.
 *
 * With Method=rotate the change is asked for, in the second half of the password's life, so that no one else
 * chooses the moment. That is for a role that one consumer has: each of two would change it under the other.
 */
#include <stdio.h>
#include <string.h>

#include "helper/store/vault/fetch.h"

/* The consumer holds a dead password for as long as the change is noticed late. */
#define DYING_SEC  2
#define AGAIN_USEC (40 * 1000ULL)

void kb_engine_creds(struct kb_fetch *f)
{
        struct kb_path path = kb_fetch_path(f);

        kb_fetch_get(f, &path, true, kb_fetch_done_data);
}

/* --- static roles --- */

struct password {
        const char *rotated; /* when it was made, as the server writes it */
        int64_t left;        /* seconds it lives */
        int64_t period;      /* of all of them; 0: not known */
};

static int on_timer(sd_event_source *source, uint64_t now, void *userdata)
{
        kb_engine_static(userdata);
        return 0;
}

/* Whether there is time to look once more before the deadline. */
static bool look_again(struct kb_fetch *f)
{
        uint64_t at = kb_time_add(kb_now_monotonic(), AGAIN_USEC);

        if (at + 10 * AGAIN_USEC > f->deadline)
                return false;
        f->timer = sd_event_source_disable_unref(f->timer);
        return sd_event_add_time(f->engines->is.event, &f->timer, CLOCK_MONOTONIC, at, 0, on_timer, f) >= 0;
}

static void give(struct kb_fetch *f, const struct kb_asked *asked, const struct password *password)
{
        static const char *const names[] = {"username", "password", "rsa_private_key"};
        _cleanup_list_ struct kb_list_builder fields = kb_list_builder_init(KB_FETCH_FIELDS_MAX);
        struct kb_fetch_answer answer = {
                .fields = &fields,
                .ttl = password->left > 0 ? (uint64_t)password->left : 1,
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(names); i++)
                kb_fetch_add_member(&fields, asked->envelope.data, names[i]);
        if (kb_lease_name_record(f->is.path, password->rotated, answer.lease) < 0)
                kb_fetch_nonsense(f, asked, "last_vault_rotation");
        else
                kb_fetch_done(f, &answer);
}

/* One that may not be rotated by us (403) is waited for, like any other. */
static void on_rotated(struct kb_fetch *f, const struct kb_asked *asked)
{
        if (asked->error == KB_E_OK || asked->error == KB_E_DENIED)
                kb_engine_static(f);
        else
                kb_fetch_refused(f, asked);
}

static void rotate(struct kb_fetch *f)
{
        struct kb_path path = kb_path_init("");

        f->rotated = true;
        kb_path_many(&path, f->mount.path);
        kb_path_fixed(&path, "rotate-role");
        kb_path_many(&path, kb_fetch_name(f));
        kb_fetch_post(f, &path, NULL, false, on_rotated);
}

static void on_static(struct kb_fetch *f, const struct kb_asked *asked)
{
        const struct kb_json_value *data = asked->envelope.data;
        struct password password = {};

        if (kb_fetch_refused(f, asked))
                return;
        password.rotated = kb_fetch_text(f, asked, "last_vault_rotation");
        if (!password.rotated)
                return;
        if (kb_json_integer(kb_json_get(data, "ttl"), 0, KB_API_SECONDS_MAX, &password.left) < 0) {
                kb_fetch_nonsense(f, asked, "ttl");
                return;
        }
        /* Absent with a schedule instead of a period. */
        if (kb_json_integer(kb_json_get(data, "rotation_period"), 1, KB_API_SECONDS_MAX, &password.period) <
            0)
                password.period = 0;
        if (strcmp(f->is.method, "rotate") == 0 && !f->rotated && password.left <= password.period / 2)
                rotate(f);
        else if (password.left >= DYING_SEC || !look_again(f))
                give(f, asked, &password);
}

void kb_engine_static(struct kb_fetch *f)
{
        struct kb_path path = kb_fetch_path(f);

        kb_fetch_get(f, &path, false, on_static);
}
