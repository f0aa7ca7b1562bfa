/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usage: log-writer FOLDER COUNT SECONDS
 *
 * A broker reduced to its log: writes so many refusals of orders.service, each waited for, and stays until
 * the journal has all of them or the time is over. Prints what became of them. test_log.py runs it.
 */
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>

#include "common/clock.h"
#include "helper/log/confirm.h"

static uint64_t told, slowest, sent_at;

static void on_done(int r, uint64_t sequence, void *userdata)
{
        uint64_t took = kb_now_monotonic() - sent_at;

        if (r < 0)
                errx(1, "not written: %d", r);
        told++;
        slowest = took > slowest ? took : slowest;
}

static void write_one(struct kb_log *log, uint64_t number)
{
        struct kb_event event = {
                .id = KB_EVENT_GRANT_REFUSED, .unit = "orders.service", .credential = "db", .pid = number};
        uint64_t before = told;

        sent_at = kb_now_monotonic();
        if (kb_log_append(log, &event, true, on_done, NULL) < 0)
                errx(1, "not taken");
        while (told == before) {
                struct pollfd p = {.fd = kb_log_fd(log), .events = POLLIN};

                (void)poll(&p, 1, 10000);
                kb_log_dispatch(log);
        }
}

int main(int argc, char **argv)
{
        struct kb_forward_options options = {.confirmer = &kb_confirm_journal};
        _cleanup_(kb_forward_freep) struct kb_forward *forward = NULL;
        _cleanup_(kb_log_freep) struct kb_log *log = NULL;
        struct kb_forward_state state;
        struct kb_log_damage damage;
        char key[KB_FIRST_KEY_MAX];
        uint64_t limit;
        int r;

        if (argc != 4)
                errx(2, "usage: log-writer FOLDER COUNT SECONDS");
        r = kb_log_create(argv[1], kb_now_realtime(), key);
        if (r < 0 && r != -EEXIST)
                errx(1, "create: %d", r);
        r = kb_log_open(&log, argv[1], &(struct kb_log_options){}, &damage);
        if (r == 0)
                r = kb_forward_new(&forward, log, argv[1], &options);
        if (r < 0)
                errx(1, "open: %d", r);
        for (uint64_t i = 1; i <= strtoull(argv[2], NULL, 10); i++)
                write_one(log, i);
        limit = kb_now_monotonic() + strtoull(argv[3], NULL, 10) * KB_USEC_PER_SEC;
        do {
                (void)poll(NULL, 0, 50);
                kb_forward_get_state(forward, &state);
        } while ((state.lag > 0 || state.confirmed == 0) && kb_now_monotonic() < limit);
        printf("{\"log\": \"%s\", \"confirmed\": %" PRIu64 ", \"lag\": %" PRIu64 ", \"resent\": %" PRIu64
               ", \"given_up\": %" PRIu64 ", \"blind\": %d, \"error\": %d, \"slowest\": %" PRIu64 "}\n",
               kb_log_identity(log)->id, state.confirmed, state.lag, state.resent, state.given_up,
               state.blind, state.error, slowest);
        return 0;
}
