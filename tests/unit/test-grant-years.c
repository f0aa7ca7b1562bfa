/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many grants over a long time, in simulated time, against a store that keeps its own books: whatever
 * happens, no lease is lost, none is renewed too early, and what ought to be spread is spread.
 */
#include "tests/unit/test.h"

#include <stdio.h>
#include <stdlib.h>

#include "helper/grant/grant.h"

#define SEC    KB_USEC_PER_SEC
#define MINUTE (60 * SEC)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

static const struct kb_grant_who who = {"orders.service", "invocation", "orders-db", "local"};

/* What the store knows of a lease, by its id. */
struct book {
        uint64_t ends;
        uint64_t max_ends; /* no renewal goes beyond it */
        uint64_t last;     /* when it was issued or renewed */
        bool live;
};

struct world {
        uint64_t now;
        uint64_t ttl, max_ttl; /* seconds */
        bool renewable;
        bool up;
        unsigned failure_percent; /* of all requests */
        uint64_t random;

        struct book *books;
        size_t n_books, capacity;

        struct kb_grant *grants;
        size_t n_grants;
        struct kb_queue queue;

        uint64_t counts[KB_GRANT_FORGET + 1];
        uint64_t failed;
        uint64_t wakeups, idle_wakeups;
        uint64_t *per_minute; /* requests to the store */
        uint64_t earliest;    /* share of its ttl at which a lease was renewed or rotated, in thousandths */
};

static struct book *open_book(struct world *w)
{
        if (w->n_books == w->capacity) {
                w->capacity = w->capacity ? w->capacity * 2 : 1024;
                w->books = reallocarray(w->books, w->capacity, sizeof(*w->books));
                assert_non_null(w->books);
        }
        return &w->books[w->n_books++];
}

/* One request. False when it fails; nothing happened then, or the lease would be the store's to end. */
static bool reaches_the_store(struct world *w)
{
        if (w->per_minute)
                w->per_minute[w->now / MINUTE]++;
        if (w->up && kb_lease_random(&w->random, 99) >= w->failure_percent)
                return true;
        w->failed++;
        return false;
}

static void fetch(struct world *w, struct kb_grant *g)
{
        char id[32];
        struct kb_lease_answer answer = {.id = id, .ttl = w->ttl, .renewable = w->renewable};
        struct book *b;

        if (!reaches_the_store(w)) {
                kb_grant_on_fetched(g, w->now, KB_E_UNREACHABLE, NULL);
                return;
        }
        snprintf(id, sizeof(id), "%zu", w->n_books);
        b = open_book(w);
        *b = (struct book){.ends = w->now + w->ttl * SEC,
                           .max_ends = w->now + w->max_ttl * SEC,
                           .last = w->now,
                           .live = true};
        kb_grant_on_fetched(g, w->now, KB_E_OK, &answer);
}

static struct book *find_book(struct world *w, const struct kb_lease *lease)
{
        return &w->books[strtoul(lease->id, NULL, 10)];
}

static void note_share(struct world *w, const struct book *b)
{
        uint64_t share = (w->now - b->last) * 1000 / (w->ttl * SEC);

        if (share < w->earliest && b->ends == b->last + w->ttl * SEC)
                w->earliest = share;
}

static void renew(struct world *w, struct kb_grant *g, struct kb_lease *lease)
{
        struct book *b = find_book(w, lease);
        uint64_t ends = w->now + w->ttl * SEC;

        if (!reaches_the_store(w)) {
                kb_grant_on_renewed(g, w->now, lease->number, KB_E_UNREACHABLE, 0, false);
                return;
        }
        assert_true(b->live && b->ends > w->now);
        note_share(w, b);
        b->ends = ends < b->max_ends ? ends : b->max_ends;
        b->last = w->now;
        kb_grant_on_renewed(g, w->now, lease->number, KB_E_OK, (b->ends - w->now) / SEC, true);
}

static void take_back(struct world *w, struct kb_grant *g, struct kb_lease *lease)
{
        if (!reaches_the_store(w)) {
                kb_grant_on_revoked(g, w->now, lease->number, KB_E_UNREACHABLE);
                return;
        }
        find_book(w, lease)->live = false;
        kb_grant_on_revoked(g, w->now, lease->number, KB_E_OK);
}

static void expire(struct world *w, struct kb_grant *g, struct kb_lease *lease)
{
        struct book *b = find_book(w, lease);

        assert_true(b->ends <= w->now + SEC); /* the answer counts whole seconds */
        b->live = false;
        kb_grant_on_expired(g, w->now, lease->number);
}

static void perform(struct world *w, struct kb_grant *g, const struct kb_grant_step *step)
{
        struct kb_lease *lease = kb_grant_lease(g, step->lease);

        w->counts[step->action]++;
        assert_ok(kb_grant_begin(g, step));
        switch (step->action) {
        case KB_GRANT_FETCH:
                fetch(w, g);
                break;
        case KB_GRANT_RENEW:
                renew(w, g, lease);
                break;
        case KB_GRANT_NOTE:
                kb_grant_on_noted(g, step->lease);
                break;
        case KB_GRANT_REVOKE:
                assert_true(lease->noted);
                take_back(w, g, lease);
                break;
        case KB_GRANT_EXPIRE:
                expire(w, g, lease);
                break;
        case KB_GRANT_OFFER:
                kb_grant_on_offered(g, w->now,
                                    kb_lease_random(&w->random, 99) < w->failure_percent ? KB_E_BUSY : 0);
                break;
        case KB_GRANT_ADOPT:
                kb_grant_on_adopted(g, w->now);
                break;
        default:
                fail_msg("unexpected action %d", step->action);
        }
}

static void work(struct world *w, struct kb_grant *g)
{
        unsigned steps = 0;

        w->wakeups++;
        for (;; steps++) {
                struct kb_grant_step step = kb_grant_next(g, w->now);

                assert_true(steps < 10); /* at one moment there is never much to do */
                if (step.action == KB_GRANT_WAIT || step.action == KB_GRANT_FORGET) {
                        assert_ok(kb_queue_set(&w->queue, &g->wake,
                                               step.at > w->now ? step.at : KB_TIME_NEVER));
                        break;
                }
                perform(w, g, &step);
        }
        w->idle_wakeups += steps == 0;
}

static void run_until(struct world *w, uint64_t end)
{
        struct kb_queue_entry *entry;

        while (kb_queue_at(&w->queue) <= end) {
                if (kb_queue_at(&w->queue) > w->now)
                        w->now = kb_queue_at(&w->queue);
                while ((entry = kb_queue_take(&w->queue, w->now)))
                        work(w, KB_QUEUE_OWNER(entry, struct kb_grant, wake));
        }
        w->now = end;
}

static void begin(struct world *w, size_t n, const struct kb_grant_policy *policy, uint64_t over)
{
        w->n_grants = n;
        w->up = true;
        w->earliest = UINT64_MAX;
        w->grants = calloc(n, sizeof(*w->grants));
        assert_non_null(w->grants);
        for (size_t i = 0; i < n; i++) {
                assert_ok(kb_grant_init(&w->grants[i], &who, policy, i, w->now));
                assert_ok(kb_queue_set(&w->queue, &w->grants[i].wake, w->now + over * i / n));
        }
}

static void finish(struct world *w)
{
        for (size_t i = 0; i < w->n_grants; i++) {
                kb_queue_remove(&w->queue, &w->grants[i].wake);
                kb_grant_done(&w->grants[i]);
        }
        kb_queue_done(&w->queue);
        free(w->grants);
        free(w->books);
        free(w->per_minute);
}

/* Ends all consumers, and asserts that after that the store has not one live lease. */
static void end_everything(struct world *w)
{
        w->failure_percent = 0;
        w->up = true;
        for (size_t i = 0; i < w->n_grants; i++) {
                kb_grant_end(&w->grants[i], w->now);
                work(w, &w->grants[i]);
        }
        run_until(w, w->now + HOUR);
        for (size_t i = 0; i < w->n_grants; i++)
                assert_int_equal(kb_grant_next(&w->grants[i], w->now).action, KB_GRANT_FORGET);
        for (size_t i = 0; i < w->n_books; i++)
                assert_false(w->books[i].live);
}

static void assert_spread(const struct world *w, uint64_t from, uint64_t to, double most)
{
        uint64_t sum = 0, peak = 0;

        for (uint64_t m = from / MINUTE; m < to / MINUTE; m++) {
                sum += w->per_minute[m];
                peak = w->per_minute[m] > peak ? w->per_minute[m] : peak;
        }
        if ((double)peak > most * (double)sum / (double)((to - from) / MINUTE))
                fail_msg("peak %lu of %lu in %lu minutes", (unsigned long)peak, (unsigned long)sum,
                         (unsigned long)((to - from) / MINUTE));
}

static void ten_thousand_renewed_for_a_month_never_expire_and_stay_spread(void **state)
{
        static const struct kb_grant_policy policy = {
                .renews = true, .rotates = true, .renew_at = 2.0 / 3, .overlap_usec = MINUTE};
        struct world w = {.ttl = DAY / SEC, .max_ttl = 10 * DAY / SEC, .renewable = true};

        w.per_minute = calloc(31 * DAY / MINUTE, sizeof(*w.per_minute));
        begin(&w, 10000, &policy, 0); /* all in one moment: the worst that can be */
        run_until(&w, 30 * DAY);
        assert_int_equal(w.counts[KB_GRANT_EXPIRE], 0);
        assert_int_equal(w.failed, 0);
        assert_int_equal(w.idle_wakeups, 0);
        assert_in_range(w.earliest, 333, 400); /* the first one, half way */
        assert_in_range(w.counts[KB_GRANT_RENEW], 10000 * 40, 10000 * 55);
        assert_in_range(w.counts[KB_GRANT_FETCH], 10000 * 3, 10000 * 5);
        assert_int_equal(w.counts[KB_GRANT_REVOKE], w.counts[KB_GRANT_FETCH] - 10000);
        assert_spread(&w, HOUR, 9 * DAY, 4.0);  /* while they only renew */
        assert_spread(&w, HOUR, 30 * DAY, 8.0); /* with the day that all of them rotate */
        end_everything(&w);
        finish(&w);
}

static void ten_thousand_certificates_rotate_in_time_for_a_month(void **state)
{
        static const struct kb_grant_policy policy = {
                .renews = true, .rotates = true, .renew_at = 2.0 / 3, .overlap_usec = MINUTE};
        struct world w = {.ttl = DAY / SEC, .max_ttl = DAY / SEC};

        w.per_minute = calloc(31 * DAY / MINUTE, sizeof(*w.per_minute));
        begin(&w, 10000, &policy, HOUR);
        run_until(&w, 30 * DAY);
        assert_int_equal(w.counts[KB_GRANT_EXPIRE], 0);
        assert_int_equal(w.idle_wakeups, 0);
        assert_in_range(w.counts[KB_GRANT_FETCH], 10000 * 45, 10000 * 51);
        end_everything(&w);
        finish(&w);
}

static void a_minutes_lease_lives_for_a_year(void **state)
{
        static const struct kb_grant_policy policy = {.renews = true, .rotates = true, .renew_at = 2.0 / 3};
        struct world w = {.ttl = 60, .max_ttl = HOUR / SEC, .renewable = true};

        begin(&w, 1, &policy, 0);
        run_until(&w, 365 * DAY);
        assert_int_equal(w.counts[KB_GRANT_EXPIRE], 0);
        assert_int_equal(w.idle_wakeups, 0);
        end_everything(&w);
        finish(&w);
}

static void an_outage_costs_a_bounded_number_of_tries_and_heals_by_itself(void **state)
{
        static const struct kb_grant_policy policy = {
                .renews = true, .rotates = true, .renew_at = 2.0 / 3, .overlap_usec = MINUTE};
        struct world w = {.ttl = HOUR / SEC, .max_ttl = DAY / SEC, .renewable = true};
        uint64_t back;

        begin(&w, 1000, &policy, HOUR);
        run_until(&w, 2 * DAY);
        w.up = false;
        run_until(&w, w.now + 6 * HOUR);                        /* every lease ends meanwhile */
        assert_in_range(w.counts[KB_GRANT_EXPIRE], 1000, 1100); /* some were being taken back */
        assert_true(w.failed < (uint64_t)1000 * 6 * 60);        /* less than one a minute for each */
        w.up = true;
        back = w.now;
        run_until(&w, back + KB_LEASE_BACKOFF_USEC + 2 * SEC);
        for (size_t i = 0; i < w.n_grants; i++)
                assert_non_null(kb_grant_newest(&w.grants[i]));
        end_everything(&w);
        finish(&w);
}

/* A start that was refused is another one 5 s later, as systemd does it: for all at the same distance. */
static void start_again(struct world *w)
{
        static const struct kb_grant_policy policy = {.renews = true, .renew_at = 0.5, .wait_usec = MINUTE};

        for (size_t i = 0; i < w->n_grants; i++) {
                struct kb_grant *g = &w->grants[i];

                if (kb_grant_state(g) != KB_GRANT_FAILED)
                        continue;
                kb_queue_remove(&w->queue, &g->wake);
                kb_grant_done(g);
                assert_ok(kb_grant_init(g, &who, &policy, w->now + i, w->now));
                assert_ok(kb_queue_set(&w->queue, &g->wake, w->now + 5 * SEC));
        }
}

static void a_crowd_that_starts_without_its_store_does_not_storm(void **state)
{
        static const struct kb_grant_policy policy = {.renews = true, .renew_at = 0.5, .wait_usec = MINUTE};
        struct world w = {.ttl = DAY / SEC, .max_ttl = DAY / SEC};
        uint64_t before = 0, most = 0;
        unsigned issued = 0;

        begin(&w, 100, &policy, 0); /* after a loss of power: all in one moment */
        w.up = false;
        for (unsigned second = 1; second <= 1200; second++) {
                run_until(&w, w.now + SEC);
                start_again(&w);
                if (second > 60 && w.failed - before > most)
                        most = w.failed - before;
                before = w.failed;
        }
        assert_in_range(w.failed, 100 * 20, 100 * 20 * 15); /* each asks a few times a minute */
        assert_in_range(most, 1, 60);                       /* and never all of them at once again */
        w.up = true;
        for (unsigned second = 1; second <= 60; second++) {
                run_until(&w, w.now + SEC);
                start_again(&w);
        }
        for (size_t i = 0; i < w.n_grants; i++)
                issued += kb_grant_newest(&w.grants[i]) != NULL;
        assert_int_equal(issued, 100);
        finish(&w);
}

static void a_bad_network_and_consumers_that_come_and_go_lose_no_lease(void **state)
{
        for (uint64_t seed = 1; seed <= 20; seed++) {
                const struct kb_grant_policy policy = {.renews = seed % 4 != 0,
                                                       .rotates = seed % 5 != 0,
                                                       .renew_at = 0.5,
                                                       .overlap_usec = seed % 3 * MINUTE,
                                                       .wait_usec = MINUTE};
                struct world w = {.ttl = 600,
                                  .max_ttl = 3600,
                                  .renewable = seed % 2,
                                  .failure_percent = 40,
                                  .random = seed};

                begin(&w, 50, &policy, HOUR);
                for (unsigned round = 0; round < 200; round++) {
                        struct kb_grant *g = &w.grants[kb_lease_random(&w.random, w.n_grants - 1)];

                        w.up = kb_lease_random(&w.random, 9) > 1;
                        run_until(&w, w.now + kb_lease_random(&w.random, 30 * MINUTE));
                        if (round % 2)
                                kb_grant_rotate(g, w.now);
                        else
                                kb_grant_end(g, w.now);
                        work(&w, g);
                }
                assert_true(w.failed > 0);
                end_everything(&w);
                finish(&w);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(ten_thousand_renewed_for_a_month_never_expire_and_stay_spread),
                cmocka_unit_test(ten_thousand_certificates_rotate_in_time_for_a_month),
                cmocka_unit_test(a_minutes_lease_lives_for_a_year),
                cmocka_unit_test(an_outage_costs_a_bounded_number_of_tries_and_heals_by_itself),
                cmocka_unit_test(a_crowd_that_starts_without_its_store_does_not_storm),
                cmocka_unit_test(a_bad_network_and_consumers_that_come_and_go_lose_no_lease),
        };

        return cmocka_run_group_tests_name("grant-years", tests, NULL, NULL);
}
