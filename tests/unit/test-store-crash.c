/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kill -9 of the store: what it acknowledged is there afterwards, and what it did not is there as a whole or
 * not at all. Once at every write that a change consists of, in the middle of it, each in a process of its
 * own; and once at any moment, the real program under load.
 */
#include "tests/unit/program.h"
#include "tests/unit/store.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>

#include "helper/store/local/kv.h"
#include "helper/store/local/people.h"
#include "helper/store/local/pki.h"

/* --- the writes of this process --- */

static unsigned long countdown; /* to the write in which it dies; 0: never */
static bool counting;           /* whether it runs out */

/* SQLite's are these, too. A disk that has half of what was written is what a kill can leave there. */
_export_ ssize_t pwrite64(int fd, const void *from, size_t size, off64_t at)
{
        struct iovec all = {(void *)from, size}, half = {(void *)from, size / 2};

        if (counting && --countdown == 0) {
                (void)!pwritev64(fd, &half, 1, at);
                kill(getpid(), SIGKILL);
        }
        return pwritev64(fd, &all, 1, at);
}

#ifndef __USE_FILE_OFFSET64
_export_ ssize_t pwrite(int fd, const void *from, size_t size, off_t at)
{
        return pwrite64(fd, from, size, at);
}
#endif

/* It makes no difference to a process that is killed. */
_export_ int fdatasync(int fd)
{
        return 0;
}

_export_ int fsync(int fd)
{
        return 0;
}

/* --- changes --- */

static const struct kb_id_range range = {KB_ID_MIN_DEFAULT, KB_ID_MAX_DEFAULT};

/* Of a process that may die: what it has acknowledged. Shared with who looks at it then. */
static struct acknowledged {
        unsigned changes;
        char lease[128];
} * acknowledged;

static void put(struct kb_local *l, const char *value)
{
        _cleanup_list_ struct kb_list_builder b = {};
        struct kb_list fields = pairs_of(&b, "username", value, "password", value, NULL);
        uint64_t version;

        assert_fine(kb_kv_put(l, "kv/a", fields, KB_KV_ANY, TEST_NOW, &version, &test_problem));
}

/* Whether this version is there; if so it is whole. */
static bool has(struct kb_local *l, uint64_t version, const char *value)
{
        _cleanup_kv_secret_ struct kb_kv_secret s = {};
        enum kb_error e = kb_kv_get(l, "kv/a", version, &s, &test_problem);

        if (e == KB_E_NOT_FOUND)
                return false;
        assert_fine(e);
        assert_string_equal(value_in(s.fields, "username"), value);
        assert_string_equal(value_in(s.fields, "password"), value);
        return true;
}

static void put_first(struct kb_local *l)
{
        put(l, "one");
}

static bool has_first(struct kb_local *l)
{
        return has(l, 1, "one");
}

static void put_second(struct kb_local *l)
{
        put(l, "two");
}

static bool has_second(struct kb_local *l)
{
        return has(l, 2, "two");
}

static void add_person(struct kb_local *l)
{
        struct kb_new_person person = {.name = "ana", .hash = "$first", .range = range};
        uint32_t uid;

        assert_fine(kb_person_add(l, &person, TEST_NOW, &uid, &test_problem));
        assert_int_equal(uid, KB_ID_MIN_DEFAULT);
}

static bool person_has(struct kb_local *l, const char *hash)
{
        _cleanup_object_ struct kb_object o = {};
        enum kb_error e = kb_person_get(l, "ana", &o, &test_problem);

        if (e == KB_E_NOT_FOUND)
                return false;
        assert_fine(e);
        assert_int_equal(kb_object_number(&o, "uid", 0), KB_ID_MIN_DEFAULT);
        return !hash || strcmp(kb_object_text(&o, "hash", ""), hash) == 0;
}

static bool has_person(struct kb_local *l)
{
        return person_has(l, NULL);
}

static void change_password(struct kb_local *l)
{
        _cleanup_object_ struct kb_object o = {};

        assert_fine(kb_person_get(l, "ana", &o, &test_problem));
        assert_fine(kb_person_set_hash(l, &o, "$second", false, TEST_NOW, &test_problem));
}

static bool has_password(struct kb_local *l)
{
        return person_has(l, "$second");
}

static void ask_certificate(struct kb_local *l, char ret_lease[static 128])
{
        _cleanup_issued_ struct kb_issued issued = {};

        assert_fine(kb_pki_issue(l, "web", (struct kb_list){}, "start.0", TEST_NOW, &issued, &test_problem));
        memcpy(ret_lease, issued.lease, sizeof(issued.lease));
}

static void issue(struct kb_local *l)
{
        ask_certificate(l, acknowledged->lease);
}

static uint64_t certificates(struct kb_local *l, bool revoked)
{
        uint64_t n;

        assert_ok(kb_db_number(l->db, &n, "SELECT count(*) FROM certificates WHERE (revoked > 0) = ?", "u",
                               (uint64_t)revoked));
        return n;
}

/* Asked once more for the same start there is still one, and it is the same. */
static bool has_issued(struct kb_local *l)
{
        bool issued = certificates(l, false) + certificates(l, true) > 0;
        char lease[128] = "";

        if (certificates(l, true) > 0)
                return true;
        ask_certificate(l, lease);
        assert_int_equal(certificates(l, false), 1);
        if (acknowledged->lease[0])
                assert_string_equal(lease, acknowledged->lease);
        return issued;
}

static void revoke_it(struct kb_local *l)
{
        const char *serial = strrchr(acknowledged->lease, '/') + 1;

        assert_fine(kb_pki_revoke(l, "default", serial, TEST_NOW, &test_problem));
}

static bool has_revoked(struct kb_local *l)
{
        return certificates(l, true) > 0;
}

/* In their order. */
static const struct {
        void (*change)(struct kb_local *l);
        bool (*is_there)(struct kb_local *l);
} changes[] = {
        {put_first, has_first},          {put_second, has_second}, {add_person, has_person},
        {change_password, has_password}, {issue, has_issued},      {revoke_it, has_revoked},
};

/* --- a process that does them, and dies --- */

/* A store with a CA, in a folder that each run gets a copy of. */
static void make_model(char ret[static 512])
{
        _cleanup_list_ struct kb_list_builder b = {};
        _cleanup_transaction_ struct kb_transaction t = {};
        _cleanup_store_ struct kb_local *l = NULL;

        snprintf(ret, 512, "%s", store_folder());
        l = store_make(ret);
        assert_fine(kb_ca_create(l, "default", "Test CA", 86400, TEST_NOW, &test_problem));
        assert_ok(kb_db_begin(l->db, &t));
        assert_ok(kb_object_put(&l->shelf, "role", "web", 0,
                                pairs_of(&b, "common-name", "web", "ttl", "1h", NULL), TEST_NOW));
        assert_ok(kb_db_commit(&t));
}

static void do_all(const char *folder)
{
        struct kb_local *l;

        counting = true;
        l = store_reopen(folder);
        for (size_t i = 0; i < KB_ARRAY_SIZE(changes); i++) {
                changes[i].change(l);
                acknowledged->changes++;
        }
        kb_local_free(l);
}

/* Whether the process died in its nth write; if not it has no more of them. */
static bool die_at(const char *folder, unsigned long nth)
{
        int status;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
                countdown = nth;
                do_all(folder);
                _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (WIFSIGNALED(status))
                assert_int_equal(WTERMSIG(status), SIGKILL);
        else
                assert_int_equal(WEXITSTATUS(status), 0);
        return WIFSIGNALED(status);
}

/* The one change that it was at when it died may be there or not; all before are, and none after. */
static void look(const char *folder, unsigned long nth)
{
        _cleanup_store_ struct kb_local *l = store_reopen(folder);
        size_t there = 0;

        if (l->state != KB_LOCAL_OPEN)
                fail_msg("write %lu: %s: %s", nth, kb_local_state_word(l->state), l->why.text);
        while (there < KB_ARRAY_SIZE(changes) && changes[there].is_there(l))
                there++;
        if (there != acknowledged->changes && there != acknowledged->changes + 1)
                fail_msg("write %lu: %u changes were acknowledged, %zu are there", nth,
                         acknowledged->changes, there);
        for (size_t i = there + 1; i < KB_ARRAY_SIZE(changes); i++)
                assert_false(changes[i].is_there(l));
        put(l, "three"); /* and it goes on */
}

static void no_write_in_the_middle_of_which_it_dies_loses_what_was_acknowledged(void **state)
{
        char model[512], copy[512], command[2048];
        unsigned long nth = 0;
        bool died;

        make_model(model);
        do {
                snprintf(copy, sizeof(copy), "%s/copy", test_folder);
                snprintf(command, sizeof(command), "rm -rf '%s' && cp -r '%s' '%s'", copy, model, copy);
                assert_int_equal(run_shell(command), 0);
                *acknowledged = (struct acknowledged){};
                died = die_at(copy, ++nth);
                look(copy, nth);
        } while (died);
        assert_int_equal(acknowledged->changes, KB_ARRAY_SIZE(changes));
        assert_true(nth > 5 * KB_ARRAY_SIZE(changes)); /* a commit is more than one write */
}

/* --- the real program, at any moment --- */

#define TURNS 4096 /* more than there is time for */
#define KINDS 5    /* of changes, in turns */
#define KILLS 12

static struct program p;

/* What was tried and what was acknowledged; the writer's until it has ended. */
static struct {
        unsigned tried;
        bool done[TURNS];
        char leases[TURNS][128];
        unsigned certificates;
        atomic_uint acknowledged;
        atomic_bool enough;
} load;

/* Whoever is killed meanwhile has acknowledged nothing. */
static bool run(struct kb_call *call)
{
        return kb_call_run(call, p.socket, kb_time_add(kb_now_monotonic(), 30 * KB_USEC_PER_SEC)) == 0 &&
               call->status == KB_E_OK;
}

static bool run_admin(struct kb_call *call, const char *object, const char *action, const char *name, ...)
{
        va_list args;

        va_start(args, name);
        admin_put(call, object, action, name, args);
        va_end(args);
        return run(call);
}

/* Of a turn: names, values, passwords. Valid until the next call of the same thread. */
static const char *name_of(const char *kind, unsigned turn)
{
        static _Thread_local char name[64];

        snprintf(name, sizeof(name), "%s%u", kind, turn);
        return name;
}

static bool load_secret(struct kb_call *call, unsigned turn)
{
        char value[64];

        snprintf(value, sizeof(value), "%s", name_of("value ", turn));
        return run_admin(call, "secret", "put", name_of("load/", turn), "field.value", value, NULL);
}

static bool load_person(struct kb_call *call, unsigned turn)
{
        return run_admin(call, "user", "add", name_of("u", turn), NULL);
}

/* As the broker does it: the same question until there is an answer. */
static bool load_certificate(struct kb_call *call, unsigned turn)
{
        struct kb_fetch_reply reply;

        for (unsigned i = 0; i < 5000; i++, usleep(2000)) {
                kb_call_done(call);
                *call = kb_call_init(KB_VERB_fetch);
                kb_fetch_request_put(&call->request,
                                     &(struct kb_fetch_request){.path = "pki/issue/web",
                                                                .request = name_of("start.", turn)});
                if (!run(call) || kb_fetch_reply_get(call->reply.body, &reply) < 0)
                        continue;
                load.certificates++;
                snprintf(load.leases[turn], sizeof(load.leases[turn]), "%s", reply.lease);
                return true;
        }
        return false;
}

/* Of the turn before. */
static bool load_revocation(struct kb_call *call, unsigned turn)
{
        *call = kb_call_init(KB_VERB_revoke);
        kb_revoke_request_put(&call->request, &(struct kb_revoke_request){.lease = load.leases[turn - 1]});
        return run(call);
}

static bool load_password(struct kb_call *call, unsigned turn)
{
        *call = kb_call_init(KB_VERB_change_secret);
        kb_change_secret_request_put(
                &call->request,
                &(struct kb_change_secret_request){
                        .user = "ana", .privileged = true, .new = KB_SPAN_STRING(name_of("words ", turn))});
        return run(call);
}

/* --- and what is there in the end --- */

static bool secret_is_there(unsigned turn)
{
        _cleanup_call_ struct kb_call call = {};
        struct kb_list row;

        return admin_ask(&p, &call, &row, "secret", "get", name_of("load/", turn), NULL) == KB_E_OK &&
               strcmp(pair_of(row, "value"), name_of("value ", turn)) == 0;
}

static bool person_is_there(unsigned turn)
{
        _cleanup_call_ struct kb_call call = {};

        return admin_ask(&p, &call, NULL, "user", "show", name_of("u", turn), NULL) == KB_E_OK;
}

static uint32_t renew(const char *lease)
{
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_renew);

        kb_renew_request_put(&call.request, &(struct kb_renew_request){.lease = lease});
        return program_ask(&p, &call);
}

/* Of one that nobody asked to be revoked, the other turns know. */
static bool certificate_is_there(unsigned turn)
{
        uint32_t status = renew(load.leases[turn]);

        return status == KB_E_OK || (turn + 1 < load.tried && status == KB_E_EXPIRED);
}

static bool is_revoked(unsigned turn)
{
        return renew(load.leases[turn - 1]) == KB_E_EXPIRED;
}

/* Of this turn, or of a later one whether or not it was acknowledged. */
static bool password_is_there(unsigned turn)
{
        for (unsigned i = turn; i < load.tried; i++) {
                _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_store_authenticate);

                if (i % KINDS != turn % KINDS)
                        continue;
                kb_store_authenticate_request_put(
                        &call.request,
                        &(struct kb_store_authenticate_request){
                                .user = "ana", .answer = KB_SPAN_STRING(name_of("words ", i))});
                if (program_ask(&p, &call) == KB_E_OK)
                        return true;
        }
        return false;
}

static const struct {
        bool (*change)(struct kb_call *call, unsigned turn);
        bool (*is_there)(unsigned turn);
} kinds[KINDS] = {
        {load_secret, secret_is_there},           {load_person, person_is_there},
        {load_certificate, certificate_is_there}, {load_revocation, is_revoked},
        {load_password, password_is_there},
};

static void *write_all(void *unused)
{
        while (!load.enough && load.tried < TURNS) {
                _cleanup_call_ struct kb_call call = {};
                unsigned turn = load.tried++;

                load.done[turn] = kinds[turn % KINDS].change(&call, turn);
                if (load.done[turn])
                        load.acknowledged++;
                else
                        usleep(2000);
        }
        return NULL;
}

/* --- the kills --- */

static uint32_t seed;

static uint32_t pick(uint32_t below)
{
        seed = seed * 1664525 + 1013904223;
        return (seed >> 8) % below;
}

static void take_seed(void)
{
        const char *given = getenv("KEYBEARER_TEST_SEED");

        seed = given ? (uint32_t)strtoul(given, NULL, 10) : (uint32_t)kb_now_realtime();
        print_message("KEYBEARER_TEST_SEED=%" PRIu32 "\n", seed);
}

/* Mostly while it works; one in four times while it starts. */
static void kill_it(void)
{
        unsigned before = load.acknowledged;

        if (pick(4) > 0)
                for (unsigned i = 0; load.acknowledged == before; i++) {
                        assert_true(i < 30000);
                        usleep(1000);
                }
        usleep(pick(40000));
        assert_int_equal(program_stop(&p, SIGKILL), -SIGKILL);
        program_start(&p);
}

static uint64_t fact(const char *name)
{
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_store_status);
        struct kb_store_status_reply reply;

        assert_int_equal(program_ask(&p, &call), KB_E_OK);
        assert_ok(kb_store_status_reply_get(call.reply.body, &reply));
        return strtoull(pair_of(reply.facts, name), NULL, 10);
}

static void what_was_acknowledged_survives_a_kill_at_any_moment(void **state)
{
        unsigned last_password = 0;
        pthread_t writer;
        char code[64];

        take_seed();
        program_make(&p);
        program_init(&p, code, sizeof(code));
        assert_admin(&p, KB_E_OK, "ca", "create", "default");
        assert_admin(&p, KB_E_OK, "ca", "role-set", "web", "common-name", "web");
        assert_admin(&p, KB_E_OK, "user", "add", "ana");
        assert_int_equal(pthread_create(&writer, NULL, write_all, NULL), 0);
        for (unsigned i = 0; i < KILLS; i++)
                kill_it();
        load.enough = true;
        pthread_join(writer, NULL);
        for (unsigned turn = 0; turn < load.tried; turn++) {
                if (load.done[turn] && turn % KINDS == KINDS - 1)
                        last_password = turn;
                else if (load.done[turn] && !kinds[turn % KINDS].is_there(turn))
                        fail_msg("turn %u of %u was acknowledged and is lost", turn, load.tried);
        }
        assert_true(last_password == 0 || password_is_there(last_password));
        assert_int_equal(fact("certificates") + fact("revoked certificates"), load.certificates);
        assert_int_equal(program_stop(&p, SIGTERM), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(no_write_in_the_middle_of_which_it_dies_loses_what_was_acknowledged),
                cmocka_unit_test(what_was_acknowledged_survives_a_kill_at_any_moment),
        };

        acknowledged =
                mmap(NULL, sizeof(*acknowledged), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (acknowledged == MAP_FAILED)
                return 1;
        return cmocka_run_group_tests_name("store crash", tests, test_folder_make, test_folder_remove);
}
