/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the two files of test-logins share: a broker with real handlers, and a store that is the test's own.
 */

#include "common/client.h"
#include "helper/broker/logins.h"

extern struct kb_broker broker;

/* What the store does to whatever it is asked. */
extern struct logins_store {
        enum kb_error error;
        bool wants_code; /* after the password */
        bool change_password;
        unsigned others_fail; /* while it checks a password: so many guesses of others are wrong */
        uint32_t asks;        /* instead of a code, when it is not 0 */
        bool nonsense;        /* what it answers is none */
        const char *ends;     /* while it checks: the login of this handle ends */
        uint32_t verb;
        bool privileged;
} store;

/* Of the next call: the allocation of the broker that fails; 0: none. Counts down to 0, and then it has. */
extern unsigned logins_failing;
extern _Thread_local unsigned logins_countdown; /* the same, while the loop runs */

int logins_set_up(void **state);
int logins_tear_down(void **state);
#define LOGINS_TEST(name) cmocka_unit_test_setup_teardown(name, logins_set_up, logins_tear_down)

/* Asks, and runs the loop until the answer is there: its status, or -ECONNRESET. uid: 0 for our own. */
long logins_run(struct kb_call *call, const char *socket_name, uid_t uid);

/* The path of a file of this test; as in_folder(). */
const char *logins_path(const char *name);

/* The counters as a broker would find them that starts now. The caller's to free. */
struct kb_lockout *logins_lockout_on_disk(void);

/* The uid of ana, who may use sshd with a password, and sudo. */
uid_t logins_uid(void);

/* --- logins-faults.c: handlers whose surroundings fail them --- */

void no_allocation_that_fails_lets_anybody_in(void **state);
void a_store_that_makes_no_sense_lets_nobody_in(void **state);
void a_login_that_ends_while_it_is_checked_is_over(void **state);
void when_all_places_are_being_checked_the_next_one_waits(void **state);
void old_passwords_that_are_guessed_lock_out_too(void **state);
void requests_that_are_no_message_are_refused(void **state);
void files_that_make_no_sense_count_as_empty(void **state);
void a_person_says_where_the_password_is_checked(void **state);
