/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The engines with everything around them in the test's hand: requests that nobody sent, a cluster that
 * writes down what it is asked and answers what the test says, and a login that is as the test wants it.
 */

#include "tests/unit/test.h"

#include "helper/store/vault/fetch.h"

struct kb_request {
        struct kb_writer body;
        struct kb_writer out; /* the fields of the reply */
        struct kb_fetch_reply fetched;
        struct kb_renew_reply renewed;
        struct kb_directory_reply directory;
        uint32_t verb;
        unsigned answers;
        enum kb_error error;
        char text[1024];
        bool abandoned;
};

/* One that was asked, and has no answer yet. */
struct kb_cluster_call {
        char line[1024]; /* "GET kv/data/orders" */
        char body[8192];
        char token[256], mfa[128];
        bool once, patient;
        kb_cluster_done done;
        void *userdata;
};

/* All that there is in a test. */
struct bench {
        sd_event *event;
        struct kb_engines *engines;
        struct kb_cluster_call *calls[16];
        unsigned n_calls, canceled;
        int start_error;

        struct kb_problem problem; /* of the login */
        uint64_t generation, ends, judged_stale;
        bool batch;
        kb_login_judged judged;
        void *judged_userdata;
};
extern struct bench bench;

int bench_setup(void **state);
int bench_teardown(void **state);

/* --- requests --- */

/* parameters: "a=b c=d" or NULL. */
void ask_fetch(struct kb_request *q, const char *path, const char *method, const char *version,
               const char *parameters, const char *id);
/* The same, with this pointer. */
void ask_fetch_part(struct kb_request *q, const char *path, const char *pointer, const char *more);
void ask_renew(struct kb_request *q, const char *lease, uint64_t increment);
void ask_revoke(struct kb_request *q, const char *lease);
/* Only made: for other verbs. */
void ask_begin(struct kb_request *q, uint32_t verb);
void request_done(struct kb_request *q);
#define _cleanup_request_ _cleanup_(request_done)

/* "a=1 b=2": names and values of the reply. */
void fields_text(const struct kb_request *q, char *ret, size_t size);
/* The value of a field, with its NUL; fails when there is none. */
const char *field(const struct kb_request *q, const char *name);

/* --- the cluster --- */

/* The only open call, which has to be this one: "GET path". */
struct kb_cluster_call *expect_call(const char *line);
/* Answers it: a status of HTTP, and JSON or "". */
void answer(int status, const char *json);
/* What the mount of a path is, when it is asked for: "kv 2", "database". */
void answer_mount(const char *path, const char *mount, const char *type);
/* It never came to an answer. */
void answer_nothing(bool doubt);

/* Runs the loop until it has something to do no more, or a call was made. */
void run_until_call(void);
