/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directory on its way in force: a store that is the test's own, linked in place of the socket, real
 * documents, real files.
 */
#include "tests/unit/folder.h"
#include "tests/unit/memory.h"
#include "tests/unit/test.h"

#include <errno.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/file.h"
#include "directory/signature.h"
#include "helper/broker/disk.h"
#include "helper/broker/publisher.h"
#include "helper/broker/store_client.h"
#include "helper/log/reader.h"
#include "helper/server/pool.h"

/* --- a pool that takes nothing more --- */

static bool pool_is_full;

int __real_kb_pool_submit(struct kb_pool *p, const struct kb_job *job, uint64_t now, uint64_t deadline);
int __wrap_kb_pool_submit(struct kb_pool *p, const struct kb_job *job, uint64_t now, uint64_t deadline);
int __wrap_kb_pool_submit(struct kb_pool *p, const struct kb_job *job, uint64_t now, uint64_t deadline)
{
        return pool_is_full ? -EAGAIN : __real_kb_pool_submit(p, job, now, deadline);
}

/* --- a clock that can jump --- */

static _Atomic uint64_t later;

uint64_t __real_kb_now_monotonic(void);
uint64_t __wrap_kb_now_monotonic(void);
uint64_t __wrap_kb_now_monotonic(void)
{
        return __real_kb_now_monotonic() + later;
}

/* What was done before the host slept for so long. */
static _Atomic uint64_t slept;

uint64_t __real_kb_now_boottime(void);
uint64_t __wrap_kb_now_boottime(void);
uint64_t __wrap_kb_now_boottime(void)
{
        return __real_kb_now_boottime() - slept;
}

/* --- the store: two people and a group, in portions of one record --- */

#define PEOPLE 3

static struct {
        enum kb_error error;
        bool nonsense;
        uint64_t version;
        bool restless;       /* a new version with every portion */
        uint32_t parts_more; /* than there are, from the second portion on */
        uint32_t parts;      /* instead of the true number; 0: the true one */
        bool empty_portions;
        bool unchanged; /* whatever the caller has */
        bool bad_id;
        bool slow;               /* more than any patience between two portions */
        struct kb_span document; /* instead of the people, as one portion */
        unsigned asked;
        uint64_t have; /* as it was asked last */
} store;

struct kb_store_call {
        struct kb_store_request is;
        struct kb_writer fields;
        sd_event_source *later;
};

int kb_store_call_new(struct kb_store_call **ret, const struct kb_store_request *request)
{
        struct kb_store_call *c = calloc(1, sizeof(*c));

        if (!c)
                return -ENOMEM;
        *c = (struct kb_store_call){.is = *request, .fields = kb_writer_init(65536)};
        assert_true(request->usec > 0);
        *ret = c;
        return 0;
}

struct kb_writer *kb_store_call_writer(struct kb_store_call *c)
{
        return &c->fields;
}

static void free_call(struct kb_store_call *c)
{
        sd_event_source_disable_unref(c->later);
        kb_writer_done(&c->fields);
        free(c);
}

static const char *const names[PEOPLE] = {"ana", "bea", "eva"};

static void put_portion(uint32_t part, struct kb_writer *w)
{
        if (part < PEOPLE)
                kb_directory_add_person(w, &(struct kb_person_record){
                                                   .name = names[part],
                                                   .uid = store.bad_id ? 0 : KB_ID_MIN_DEFAULT + part,
                                                   .full_name = "",
                                                   .home = "/home/x",
                                                   .shell = "/bin/sh",
                                                   .auth = "",
                                                   .has_password = true,
                                                   .expires = KB_TIME_NEVER,
                                           });
}

static void put_reply(const struct kb_directory_request *m, struct kb_writer *w)
{
        _cleanup_writer_ struct kb_writer records = kb_writer_init(65536);
        struct kb_directory_reply reply = {.version = store.version, .not_after = KB_TIME_NEVER};

        store.have = m->have;
        later = store.slow ? 1000 * KB_USEC_PER_SEC : 0;
        store.asked++;
        reply.unchanged = store.unchanged || m->have == store.version;
        reply.parts = store.parts > 0 ? store.parts : PEOPLE;
        if (m->part > 0)
                reply.parts += store.parts_more;
        if (!reply.unchanged && store.document.size > 0) {
                reply.parts = 1;
                kb_write_raw(&records, store.document);
        } else if (!reply.unchanged && !store.empty_portions)
                put_portion(m->part, &records);
        reply.records = KB_SPAN(records.data ? records.data : (uint8_t *)"", records.size);
        kb_directory_reply_put(w, &reply);
        if (store.restless)
                store.version++;
}

static int answer_later(sd_event_source *source, void *userdata)
{
        struct kb_store_call *c = userdata;
        _cleanup_writer_ struct kb_writer w = kb_writer_init(65536);
        struct kb_store_answer answer = {.error = store.error, .text = ""};
        struct kb_directory_request m;

        if (kb_writer_end(&c->fields) < 0) /* as the real one */
                answer.error = KB_E_BUSY;
        else if (store.error != KB_E_OK)
                answer.text = "the store is away";
        else if (store.nonsense)
                answer.fields = KB_SPAN("x", 1);
        else {
                assert_ok(kb_directory_request_get(KB_SPAN(c->fields.data, c->fields.size), &m));
                put_reply(&m, &w);
                answer.fields = KB_SPAN(w.data, w.size);
        }
        c->is.done(&answer, c->is.userdata);
        free_call(c);
        return 0;
}

void kb_store_call_start(struct kb_store_call *c)
{
        assert_ok(sd_event_add_defer(c->is.event, &c->later, answer_later, c));
}

void kb_store_call_cancel(struct kb_store_call *c)
{
        free_call(c);
}

void kb_store_call_hold(struct kb_store_call *c)
{
}

void kb_store_call_resume(struct kb_store_call *c)
{
}

void *kb_store_answer_take(const struct kb_store_answer *answer)
{
        fail_msg("nobody takes anything here");
        return NULL;
}

/* --- the broker --- */

static struct kb_broker broker;

static void write_file(const char *name, const char *content)
{
        _cleanup_close_ int folder = open(in_folder("."), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_close_ int etc = openat(folder, "etc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        assert_ok(kb_file_write_at(etc, name, KB_SPAN_STRING(content), 0644));
}

static int on_log(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        kb_log_dispatch(broker.log);
        return 0;
}

static char places[5][512];

static void start(void)
{
        struct kb_log_damage damage;
        _cleanup_problems_ struct kb_problems problems = {0};
        static const char *const folders[] = {"etc", "nss", "directory", "stores"};
        struct kb_publisher_places all = {{places[0], places[1], places[2], places[4], geteuid()},
                                          places[3]};

        for (unsigned i = 0; i < 4; i++)
                snprintf(places[i], sizeof(places[i]), "%s", in_folder(folders[i]));
        snprintf(places[4], sizeof(places[4]), "%s", in_folder("directory.pub"));
        broker = (struct kb_broker){.units_fd = -1};
        assert_ok(sd_event_new(&broker.event));
        assert_ok(kb_config_new(in_folder("keybearer.conf"), &(struct kb_config_trust){.owner = geteuid()},
                                &problems, &broker.config));
        assert_ok(kb_log_open(&broker.log, in_folder("log"), &(struct kb_log_options){0}, &damage));
        assert_ok(sd_event_add_io(broker.event, &broker.log_source, kb_log_fd(broker.log), 1, on_log, NULL));
        assert_ok(kb_disk_new(&broker.disk, broker.event));
        assert_ok(kb_publisher_new(&broker.publisher, &broker, &all));
}

static void stop(void)
{
        kb_disk_drain(broker.disk);
        kb_publisher_free(broker.publisher);
        kb_disk_free(broker.disk);
        sd_event_source_disable_unref(broker.log_source);
        kb_log_free(broker.log);
        kb_config_free(broker.config);
        sd_event_unref(broker.event);
}

static int set_up(void **state)
{
        static const char *const folders[] = {"etc", "nss", "directory", "stores", "log"};
        char first_key[KB_FIRST_KEY_MAX];

        memset(&store, 0, sizeof(store));
        store.version = 7;
        for (unsigned i = 0; i < KB_ARRAY_SIZE(folders); i++)
                assert_int_equal(mkdir(in_folder(folders[i]), 0755), 0);
        assert_ok(kb_log_create(in_folder("log"), kb_now_realtime(), first_key));
        write_file("passwd", "root:x:0:0::/root:/bin/sh\n");
        write_file("group", "root:x:0:\n");
        start();
        return 0;
}

static int tear_down(void **state)
{
        static const char *const folders[] = {"etc", "nss", "directory", "stores", "log"};

        stop();
        for (unsigned i = 0; i < KB_ARRAY_SIZE(folders); i++)
                nftw(in_folder(folders[i]), test_folder_remove_one, 16, FTW_DEPTH | FTW_PHYS);
        unlink(in_folder("keybearer.conf"));
        unlink(in_folder("directory.pub"));
        return 0;
}

/* --- asking --- */

static struct {
        unsigned n;
        enum kb_error error;
        char text[256];
} done;

static void on_done(enum kb_error error, const char *text, void *userdata)
{
        done.n++;
        done.error = error;
        snprintf(done.text, sizeof(done.text), "%s", text);
}

static enum kb_error refresh(void)
{
        unsigned n = done.n;

        kb_publisher_refresh(broker.publisher, on_done, NULL);
        while (done.n == n)
                assert_ok(sd_event_run(broker.event, KB_USEC_PER_SEC));
        return done.error;
}

static bool is_ours(const char *name)
{
        const struct kb_directory *d = kb_publisher_directory(broker.publisher);

        return d && kb_directory_person(d, name);
}

/* Runs the loop until a name is, or is not, ours. */
static void run_until(const char *name, bool ours)
{
        uint64_t end = kb_now_monotonic() + 60 * KB_USEC_PER_SEC;

        while (is_ours(name) != ours && kb_now_monotonic() < end)
                assert_ok(sd_event_run(broker.event, KB_USEC_PER_SEC));
        assert_int_equal(is_ours(name), ours);
}

static struct kb_publisher_state state_of(void)
{
        struct kb_publisher_state s;

        kb_publisher_get_state(broker.publisher, &s);
        return s;
}

/* --- the good --- */

static void a_document_in_portions_is_in_force_kept_and_published(void **state)
{
        assert_int_equal(refresh(), KB_E_OK);
        assert_true(is_ours("ana") && is_ours("eva"));
        assert_int_equal(state_of().version, 7);
        assert_int_equal(access(in_folder("nss/users-1"), F_OK), 0);
        stop();
        store.error = KB_E_UNREACHABLE;
        start();
        assert_true(is_ours("ana")); /* the last good one, before the store was asked */
        assert_int_equal(refresh(), KB_E_UNREACHABLE);
        assert_string_equal(state_of().problem, "the store is away");
        assert_true(is_ours("ana"));
}

static void what_is_the_newest_is_not_sent_again(void **state)
{
        assert_int_equal(refresh(), KB_E_OK);
        store.asked = 0;
        assert_int_equal(refresh(), KB_E_OK);
        assert_int_equal(store.asked, 1);
        assert_int_equal(store.have, 7);
}

static void when_it_was_confirmed_is_known_after_a_restart(void **state)
{
        uint64_t first;

        assert_int_equal(refresh(), KB_E_OK);
        first = state_of().confirmed;
        broker.config->directory_max_age_usec = 16; /* a sixteenth of it passes at once */
        assert_int_equal(refresh(), KB_E_OK);
        assert_true(state_of().confirmed > first);
        first = state_of().confirmed;
        stop();
        start();
        assert_true(state_of().confirmed >= first);
        stop();
        write_file("../directory/confirmed", "what is this?!??");
        start();
        assert_true(state_of().confirmed < first);
        assert_true(is_ours("ana"));
}

/* --- the hostile --- */

static void a_store_that_lies_changes_nothing_and_comes_to_an_end(void **state)
{
        static const struct {
                const char *what;
                enum kb_error expected;
        } table[] = {
                {"the store's answer makes no sense", KB_E_INTERNAL},
                {"the document changes faster than it can be read", KB_E_CONFLICT},
                {"the document has an impossible number of portions", KB_E_BAD_REQUEST},
                {"the document has an impossible number of portions", KB_E_BAD_REQUEST},
                {"a portion of the document is empty", KB_E_BAD_REQUEST},
                {"the document has an impossible number of portions", KB_E_BAD_REQUEST},
        };

        assert_int_equal(refresh(), KB_E_OK);
        for (unsigned i = 0; i < KB_ARRAY_SIZE(table); i++) {
                memset(&store, 0, sizeof(store));
                store.version = 100 + 10 * i;
                store.nonsense = i == 0;
                store.restless = i == 1;
                store.parts_more = i == 2;
                store.parts = i == 3 ? UINT32_MAX : i == 5 ? 1025 : 0;
                store.empty_portions = i == 4;
                assert_int_equal(refresh(), table[i].expected);
                assert_string_equal(done.text, table[i].what);
                assert_true(store.asked < 20);
                assert_int_equal(state_of().version, 7);
                assert_true(is_ours("ana"));
        }
        store.bad_id = true;
        store.version = 200;
        store.parts = 0;
        assert_int_equal(refresh(), KB_E_BAD_REQUEST);
        assert_non_null(strstr(done.text, "ana"));
        assert_int_equal(state_of().version, 7);
}

static void a_host_that_slept_asks_at_once(void **state)
{
        uint64_t end = kb_now_monotonic() + 20 * KB_USEC_PER_SEC;
        unsigned asked;

        slept = broker.config->refresh_usec;
        assert_int_equal(refresh(), KB_E_OK);
        slept = 0;
        asked = store.asked;
        while (store.asked == asked && kb_now_monotonic() < end)
                assert_ok(sd_event_run(broker.event, KB_USEC_PER_SEC));
        assert_int_equal(store.asked, asked + 1);
}

static void nobody_has_to_wait_for_it(void **state)
{
        assert_int_equal(refresh(), KB_E_OK);
        store.version++;
        memory_left = 1; /* it is not asked then, and nobody hears of that */
        kb_publisher_refresh(broker.publisher, NULL, NULL);
        memory_left = 0;
        assert_int_equal(state_of().version, store.version - 1);
        kb_publisher_refresh(broker.publisher, NULL, NULL);
        while (state_of().version < store.version)
                assert_ok(sd_event_run(broker.event, KB_USEC_PER_SEC));
}

static void a_store_that_takes_for_ever_is_given_up(void **state)
{
        store.slow = true;
        assert_int_equal(refresh(), KB_E_UNREACHABLE);
        later = 0;
        assert_string_equal(done.text, "the store takes too long over the document");
        assert_int_equal(store.asked, 1);
}

static void who_still_waits_at_the_end_is_forgotten(void **state)
{
        unsigned n = done.n;

        kb_publisher_refresh(broker.publisher, on_done, NULL);
        kb_publisher_refresh(broker.publisher, on_done, NULL);
        stop();
        assert_int_equal(done.n, n);
        start();
}

static void unchanged_is_no_answer_to_who_has_nothing(void **state)
{
        store.unchanged = true;
        assert_int_equal(refresh(), KB_E_BAD_REQUEST);
        assert_null(kb_publisher_directory(broker.publisher));
}

/* --- the disk --- */

static int gate[2];

static int sit(void *userdata)
{
        char c;

        return (int)read(gate[0], &c, 1);
}

static void on_end(int r, void *userdata)
{
}

static void a_disk_that_takes_nothing_more_changes_nothing(void **state)
{
        assert_int_equal(refresh(), KB_E_OK);
        pool_is_full = true;
        store.version = 8;
        assert_int_equal(refresh(), KB_E_INTERNAL);
        assert_int_equal(state_of().version, 7);
        pool_is_full = false;
        assert_int_equal(refresh(), KB_E_OK);
        assert_int_equal(state_of().version, 8);
}

/* Each allocation fails once: whoever waits hears of it, and what is in force is the old or the new. */
static void without_memory_the_directory_stays_as_it_is(void **state)
{
        bool failed = true;

        assert_int_equal(refresh(), KB_E_OK);
        for (int i = 1; failed; i++) {
                enum kb_error error;

                store.version++;
                memory_left = i;
                error = refresh();
                failed = memory_left == 0;
                memory_left = 0;
                assert_true(failed || error == KB_E_OK);
                assert_int_equal(state_of().version == store.version, error == KB_E_OK);
                assert_true(is_ours("ana") && is_ours("eva"));
                assert_int_equal(refresh(), KB_E_OK);
                assert_int_equal(state_of().version, store.version);
                assert_true(i < 1000);
        }
}

static void a_slow_disk_holds_up_the_directory_and_not_the_loop(void **state)
{
        unsigned n = done.n;

        assert_int_equal(pipe(gate), 0);
        assert_ok(kb_disk_run(broker.disk, sit, on_end, NULL));
        kb_publisher_refresh(broker.publisher, on_done, NULL);
        while (store.asked < PEOPLE)
                assert_ok(sd_event_run(broker.event, KB_USEC_PER_SEC));
        for (unsigned i = 0; i < 20; i++)
                assert_ok(sd_event_run(broker.event, 1000)); /* would not come back */
        assert_int_equal(done.n, n);
        assert_false(is_ours("ana"));                          /* not before it is published */
        kb_publisher_refresh(broker.publisher, on_done, NULL); /* for what is newer than that */
        assert_int_equal(write(gate[1], "x", 1), 1);
        while (done.n < n + 2)
                assert_ok(sd_event_run(broker.event, KB_USEC_PER_SEC));
        assert_true(is_ours("ana"));
        assert_int_equal(store.asked, PEOPLE + 1);
        close(gate[0]);
        close(gate[1]);
}

static void what_cannot_be_published_is_not_decided_by(void **state)
{
        assert_int_equal(refresh(), KB_E_OK);
        store.version = 8;
        assert_int_equal(rename(in_folder("nss"), in_folder("nss.away")), 0);
        assert_int_equal(refresh(), KB_E_INTERNAL);
        assert_int_equal(state_of().version, 7);
        assert_int_equal(rename(in_folder("nss.away"), in_folder("nss")), 0);
        assert_int_equal(refresh(), KB_E_OK);
        assert_int_equal(state_of().version, 8);
}

/* Killed between the two: names never go back to who was there before, although the store is away now. */
static void what_was_kept_and_not_published_is_published_at_the_next_start(void **state)
{
        assert_int_equal(refresh(), KB_E_OK);
        store.version = 8;
        assert_int_equal(rename(in_folder("nss"), in_folder("nss.away")), 0);
        assert_int_equal(refresh(), KB_E_INTERNAL);
        stop();
        assert_int_equal(rename(in_folder("nss.away"), in_folder("nss")), 0);
        store.error = KB_E_UNREACHABLE;
        start();
        assert_int_equal(state_of().version, 8);
        assert_true(is_ours("ana"));
}

static void what_cannot_be_kept_is_in_force_all_the_same(void **state)
{
        assert_int_equal(rmdir(in_folder("directory")), 0);
        assert_int_equal(refresh(), KB_E_OK);
        assert_true(is_ours("ana"));
        assert_int_equal(mkdir(in_folder("directory"), 0700), 0);
        /* but it cannot be judged again without the store */
        write_file("passwd", "ana:x:1000:1000::/home/ana:/bin/sh\n");
        run_until("ana", false);
        assert_int_equal(store.have, 0);
        assert_true(is_ours("bea"));
}

static uint64_t generation(void)
{
        _cleanup_close_ int folder = open(in_folder("nss"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        uint64_t number;

        assert_ok(kb_file_read_exactly_at(folder, "generation", &number, sizeof(number)));
        return number;
}

static void an_older_one_on_disk_is_not_published_over_what_is_in_force(void **state)
{
        uint64_t before, end = kb_now_monotonic() + 60 * KB_USEC_PER_SEC;

        assert_int_equal(refresh(), KB_E_OK);
        store.version = 8;
        assert_int_equal(rename(in_folder("directory"), in_folder("directory.away")), 0);
        assert_int_equal(refresh(), KB_E_OK); /* 8 is in force and not kept */
        assert_int_equal(rename(in_folder("directory.away"), in_folder("directory")), 0);
        before = generation();
        store.error = KB_E_UNREACHABLE;
        write_file("passwd", "ana:x:1000:1000::/home/ana:/bin/sh\n");
        while (state_of().problem[0] == '\0' && kb_now_monotonic() < end)
                assert_ok(sd_event_run(broker.event, KB_USEC_PER_SEC));
        assert_string_equal(state_of().problem, "the store is away"); /* it was asked for the whole */
        assert_int_equal(generation(), before);
        store.error = KB_E_OK;
        assert_int_equal(refresh(), KB_E_OK);
        assert_int_equal(store.have, 0);
        assert_int_equal(state_of().version, 8);
        assert_false(is_ours("ana"));
}

static void a_last_good_one_that_is_damaged_is_left_aside(void **state)
{
        assert_int_equal(refresh(), KB_E_OK);
        stop();
        write_file("../directory/current", "damaged");
        store.error = KB_E_UNREACHABLE;
        start();
        assert_null(kb_publisher_directory(broker.publisher));
        assert_non_null(strstr(state_of().problem, "damaged"));
}

/* --- this host's own accounts --- */

static void on_recorded(int r, uint64_t sequence, void *userdata)
{
        assert_ok(r);
        *(uint64_t *)userdata = sequence;
}

/* How many records there are, with the one that is written to find out. */
static uint64_t records(void)
{
        struct kb_event event = {.id = KB_EVENT_CONFIG_LOADED, .detail = "a mark"};
        uint64_t sequence = 0;

        assert_ok(kb_log_append(broker.log, &event, true, on_recorded, &sequence));
        while (sequence == 0)
                assert_ok(sd_event_run(broker.event, KB_USEC_PER_SEC));
        return sequence;
}

static void who_becomes_the_hosts_own_is_ours_no_more_until_they_are_gone(void **state)
{
        uint64_t before;

        assert_int_equal(refresh(), KB_E_OK);
        store.error = KB_E_UNREACHABLE; /* nobody is needed for this */
        before = records();
        write_file("passwd", "root:x:0:0::/root:/bin/sh\nana:x:1000:1000::/home/ana:/bin/sh\n");
        run_until("ana", false);
        assert_true(is_ours("bea"));
        assert_int_equal(state_of().left_out, 1);
        assert_int_equal(state_of().version, 7);
        assert_int_equal(records(), before + 2);
        write_file("group", "root:x:0:\neva:x:1001:\n");
        run_until("eva", false);
        write_file("passwd", "root:x:0:0::/root:/bin/sh\n");
        run_until("ana", true);
        assert_false(is_ours("eva"));
}

static void whoever_is_left_out_is_named_up_to_a_number(void **state)
{
        assert_int_equal(refresh(), KB_E_OK);
        write_file("passwd", "ana:x:1000:1000::/:/bin/sh\n");
        run_until("ana", false);
        write_file("passwd", "bea:x:1000:1000::/:/bin/sh\n"); /* as many, and others */
        run_until("bea", false);
        assert_true(is_ours("ana"));
        write_file("passwd", "a:x:65536:1::/:/bin/sh\nb:x:65537:1::/:/bin/sh\nc:x:65538:1::/:/bin/sh\n"
                             "eva:x:1:1::/:/bin/sh\n");
        run_until("ana", false);
        assert_int_equal(state_of().people, 0);
}

static void accounts_that_cannot_be_watched_are_no_reason_to_stop(void **state)
{
        stop();
        assert_int_equal(rename(in_folder("etc"), in_folder("etc.away")), 0);
        start();
        assert_int_equal(rename(in_folder("etc.away"), in_folder("etc")), 0);
        assert_int_equal(refresh(), KB_E_OK);
        assert_true(is_ours("ana"));
}

static void another_change_of_the_accounts_is_no_news(void **state)
{
        const struct kb_directory *d;
        uint64_t before, end = kb_now_monotonic() + 60 * KB_USEC_PER_SEC;

        assert_int_equal(refresh(), KB_E_OK);
        before = records();
        d = kb_publisher_directory(broker.publisher);
        write_file("passwd", "root:x:0:0::/root:/bin/sh\ndaemon:x:1:1::/:/bin/false\n");
        write_file("shadow", "of no interest");
        while (kb_publisher_directory(broker.publisher) == d && kb_now_monotonic() < end)
                assert_ok(sd_event_run(broker.event, KB_USEC_PER_SEC));
        assert_ptr_not_equal(kb_publisher_directory(broker.publisher), d); /* it was judged again */
        assert_int_equal(records(), before + 1);
}

static void accounts_that_cannot_be_read_change_nothing(void **state)
{
        assert_int_equal(refresh(), KB_E_OK);
        assert_int_equal(unlink(in_folder("etc/passwd")), 0);
        store.asked = 0;
        while (store.asked == 0) /* it asks for the whole document, and cannot judge that either */
                assert_ok(sd_event_run(broker.event, KB_USEC_PER_SEC));
        assert_int_equal(store.have, 0);
        assert_int_equal(refresh(), KB_E_INTERNAL);
        assert_true(is_ours("ana"));
}

/* --- a document that is signed --- */

static struct kb_writer key, document;

static void write_public(const struct kb_writer *pem)
{
        _cleanup_close_ int folder = open(in_folder("."), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        assert_ok(kb_file_write_at(folder, "directory.pub", KB_SPAN(pem->data, pem->size), 0644));
}

/* A new pair; hosts have its public half. */
static void new_key(void)
{
        _cleanup_writer_ struct kb_writer open = kb_writer_init(4096);

        kb_writer_done(&key);
        key = kb_writer_init(4096);
        assert_ok(kb_directory_key_make(&key, &open));
        write_public(&open);
}

/* What the store has from now on: these people of PEOPLE. */
static void sign(const char *cluster, uint64_t version, uint32_t first, uint32_t n)
{
        _cleanup_writer_ struct kb_writer records = kb_writer_init(65536), body = kb_writer_init(65536);
        _cleanup_list_ struct kb_list_builder shards = kb_list_builder_init(4096);
        uint8_t signature[KB_SIGNATURE_SIZE];
        struct kb_shard shard;

        for (uint32_t i = first; i < first + n; i++)
                put_portion(i, &records);
        assert_ok(kb_shard_measure(KB_SPAN(records.data, records.size), &shard));
        kb_head_add_shard(&shards, &shard);
        kb_head_put(&body, &(struct kb_head){.cluster = cluster,
                                             .version = version,
                                             .not_after = KB_TIME_NEVER - version,
                                             .shards = kb_list_built(&shards)});
        assert_ok(kb_writer_end(&body));
        assert_ok(kb_signature_make(KB_SPAN(key.data, key.size), KB_SPAN(body.data, body.size), signature));
        kb_writer_done(&document);
        document = kb_writer_init(65536);
        kb_signed_put(&document, KB_SPAN(body.data, body.size), KB_SPAN(signature, sizeof(signature)));
        kb_write_raw(&document, KB_SPAN(records.data, records.size));
        store.document = KB_SPAN(document.data, document.size);
        store.version = version;
}

static void configure(const char *more)
{
        _cleanup_close_ int folder = open(in_folder("."), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        char text[256];

        snprintf(text, sizeof(text), "[Directory]\nStore=prod\n%s", more);
        stop();
        assert_ok(kb_file_write_at(folder, "keybearer.conf", KB_SPAN_STRING(text), 0644));
        start();
}

static int set_up_signed(void **state)
{
        set_up(state);
        configure("");
        new_key();
        return 0;
}

static int tear_down_signed(void **state)
{
        kb_writer_done(&key);
        kb_writer_done(&document);
        return tear_down(state);
}

/* How many records of the log say that a directory was refused. */
static unsigned refusals(void)
{
        _cleanup_(kb_log_reader_freep) struct kb_log_reader *reader = NULL;
        struct kb_log_read entry;
        unsigned n = 0;

        stop();
        start();
        assert_ok(kb_log_reader_open(&reader, in_folder("log")));
        assert_ok(kb_log_reader_seek(reader, 1));
        while (kb_log_reader_next(reader, &entry) > 0)
                n += entry.event.id == KB_EVENT_DIRECTORY_REFUSED;
        return n;
}

static void a_signed_document_is_in_force_also_after_a_start(void **state)
{
        sign("prod", 9, 0, 2);
        assert_int_equal(refresh(), KB_E_OK);
        assert_true(is_ours("ana") && is_ours("bea") && !is_ours("eva"));
        assert_int_equal(state_of().version, 9);
        assert_true(state_of().until == KB_TIME_NEVER - 9);
        stop();
        store.error = KB_E_UNREACHABLE;
        start();
        assert_true(is_ours("ana"));
        assert_int_equal(state_of().version, 9);
}

static void another_stores_version_is_not_this_ones(void **state)
{
        _cleanup_close_ int folder = open(in_folder("."), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        stop();
        assert_ok(kb_file_write_at(folder, "keybearer.conf", KB_SPAN_STRING(""), 0644));
        start();
        assert_int_equal(refresh(), KB_E_OK);
        assert_int_equal(state_of().version, 7);
        configure("");
        sign("prod", 7, 0, 1);
        store.have = 99;
        assert_int_equal(refresh(), KB_E_OK);
        assert_false(is_ours("bea"));
        configure("");
        assert_int_equal(refresh(), KB_E_OK);
        assert_int_equal(store.have, 7);
}

static void assert_refused(const char *text)
{
        assert_int_equal(refresh(), KB_E_BAD_REQUEST);
        if (!strstr(done.text, text))
                fail_msg("\"%s\" is not in \"%s\"", text, done.text);
        assert_string_equal(state_of().problem, done.text);
        assert_int_equal(state_of().version, 9);
        assert_true(is_ours("ana") && !is_ours("eva"));
}

static void what_is_signed_wrongly_or_older_leaves_the_last_good_one(void **state)
{
        sign("prod", 9, 0, 2);
        assert_int_equal(refresh(), KB_E_OK);
        sign("prod", 8, 0, 3);
        assert_refused("version 8 of the directory is older than 9");
        sign("test", 10, 0, 3);
        assert_refused("that of cluster test, and this host's was that of prod");
        sign("prod", 10, 0, 3);
        document.data[document.size - 20] ^= 1;
        assert_refused("not the one that its head names");
        sign("prod", 10, 0, 3);
        document.data[20] ^= 1;
        assert_refused("signature is wrong");
        sign("prod", 10, 0, 3);
        store.document.size -= 10;
        assert_refused("less than its head says");
        sign("prod", 10, 0, 3);
        store.version = 11;
        assert_refused("calls it version 11, and it is signed as 10");
        store.document = KB_SPAN("nothing", 7);
        assert_refused("not signed");
        sign("prod", 11, 0, 3);
        assert_int_equal(refresh(), KB_E_OK);
        assert_true(is_ours("eva"));
        assert_int_equal(refusals(), 7);
}

static void the_log_hears_of_each_refusal_once(void **state)
{
        sign("prod", 9, 0, 2);
        assert_int_equal(refresh(), KB_E_OK);
        sign("prod", 8, 0, 3);
        for (unsigned i = 0; i < 3; i++)
                assert_refused("older than 9");
        store.error = KB_E_UNREACHABLE; /* of which the log has records of its own */
        assert_int_equal(refresh(), KB_E_UNREACHABLE);
        store.error = KB_E_OK;
        assert_refused("older than 9");
        sign("prod", 9, 0, 2);
        assert_int_equal(refresh(), KB_E_OK);
        sign("prod", 8, 0, 3);
        assert_refused("older than 9");
        assert_int_equal(refusals(), 2);
}

static void unsigned_is_what_the_local_store_alone_may_be(void **state)
{
        assert_int_equal(refresh(), KB_E_BAD_REQUEST);
        assert_false(is_ours("ana"));
}

static void an_older_one_is_refused_after_a_start_too_and_what_is_kept_is_checked_again(void **state)
{
        sign("prod", 9, 0, 2);
        assert_int_equal(refresh(), KB_E_OK);
        store.error = KB_E_UNREACHABLE;
        configure("IdRange=70000-71000\n"); /* nobody is in it */
        assert_null(kb_publisher_directory(broker.publisher));
        store.error = KB_E_OK;
        sign("prod", 8, 0, 2);
        assert_int_equal(refresh(), KB_E_BAD_REQUEST);
        assert_non_null(strstr(done.text, "older than 9"));
        configure("");
        assert_true(is_ours("ana"));
        new_key();
        configure("");
        assert_null(kb_publisher_directory(broker.publisher));
}

static void another_cluster_is_taken_when_it_is_named(void **state)
{
        sign("prod", 9, 0, 2);
        assert_int_equal(refresh(), KB_E_OK);
        configure("Cluster=test\n");
        assert_null(kb_publisher_directory(broker.publisher));
        sign("prod", 10, 0, 3);
        assert_int_equal(refresh(), KB_E_BAD_REQUEST);
        assert_non_null(strstr(done.text, "Cluster= wants test"));
        sign("test", 2, 0, 3);
        assert_int_equal(refresh(), KB_E_OK);
        assert_true(is_ours("eva"));
        sign("test", 1, 0, 2);
        assert_int_equal(refresh(), KB_E_BAD_REQUEST);
}

static void without_a_key_nobody_is_believed(void **state)
{
        sign("prod", 9, 0, 2);
        unlink(in_folder("directory.pub"));
        assert_int_equal(refresh(), KB_E_BAD_REQUEST);
        assert_non_null(strstr(done.text, "directory.pub is missing"));
        write_public(&key); /* the private one */
        assert_int_equal(refresh(), KB_E_BAD_REQUEST);
        assert_non_null(strstr(done.text, "holds no public key"));
        new_key();
        chmod(in_folder("directory.pub"), 0666);
        sign("prod", 9, 0, 2);
        assert_int_equal(refresh(), KB_E_BAD_REQUEST);
        assert_non_null(strstr(done.text, "writable"));
        chmod(in_folder("directory.pub"), 0644);
        assert_int_equal(refresh(), KB_E_OK);
}

int main(void)
{
#define TEST(name)   cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define SIGNED(name) cmocka_unit_test_setup_teardown(name, set_up_signed, tear_down_signed)
        const struct CMUnitTest tests[] = {
                TEST(a_document_in_portions_is_in_force_kept_and_published),
                TEST(what_is_the_newest_is_not_sent_again),
                TEST(when_it_was_confirmed_is_known_after_a_restart),
                TEST(a_store_that_lies_changes_nothing_and_comes_to_an_end),
                TEST(a_host_that_slept_asks_at_once),
                TEST(nobody_has_to_wait_for_it),
                TEST(a_store_that_takes_for_ever_is_given_up),
                TEST(who_still_waits_at_the_end_is_forgotten),
                TEST(unchanged_is_no_answer_to_who_has_nothing),
                TEST(a_disk_that_takes_nothing_more_changes_nothing),
                TEST(without_memory_the_directory_stays_as_it_is),
                TEST(a_slow_disk_holds_up_the_directory_and_not_the_loop),
                TEST(what_cannot_be_published_is_not_decided_by),
                TEST(what_was_kept_and_not_published_is_published_at_the_next_start),
                TEST(what_cannot_be_kept_is_in_force_all_the_same),
                TEST(an_older_one_on_disk_is_not_published_over_what_is_in_force),
                TEST(a_last_good_one_that_is_damaged_is_left_aside),
                TEST(who_becomes_the_hosts_own_is_ours_no_more_until_they_are_gone),
                TEST(whoever_is_left_out_is_named_up_to_a_number),
                TEST(accounts_that_cannot_be_watched_are_no_reason_to_stop),
                TEST(another_change_of_the_accounts_is_no_news),
                TEST(accounts_that_cannot_be_read_change_nothing),
                SIGNED(a_signed_document_is_in_force_also_after_a_start),
                SIGNED(another_stores_version_is_not_this_ones),
                SIGNED(what_is_signed_wrongly_or_older_leaves_the_last_good_one),
                SIGNED(the_log_hears_of_each_refusal_once),
                SIGNED(unsigned_is_what_the_local_store_alone_may_be),
                SIGNED(an_older_one_is_refused_after_a_start_too_and_what_is_kept_is_checked_again),
                SIGNED(another_cluster_is_taken_when_it_is_named),
                SIGNED(without_a_key_nobody_is_believed),
        };

        return cmocka_run_group_tests(tests, test_folder_make, test_folder_remove);
}
