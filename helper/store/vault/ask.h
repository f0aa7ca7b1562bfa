/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One request to the cluster with this host's token, and what came of it. A refusal (403) is looked into
 * before it is passed on: a token that has died is no refusal, and is worth another try.
 */

#include "helper/store/vault/body.h"
#include "helper/store/vault/engines.h"

struct kb_asking;

struct kb_asked {
        enum kb_error error;
        const char *text; /* "" when nothing went wrong */
        bool stale;       /* with another token than the one in use by now: ask again at once */
        bool doubt;       /* as in kb_cluster_answer */

        /* What the server said; empty when it said nothing, and after a refusal. */
        struct kb_api_envelope envelope;
};

typedef void (*kb_ask_done)(const struct kb_asked *asked, void *userdata);

/* Belongs to whoever asks; zeroed, it is idle. */
struct kb_asking {
        const struct kb_engines_settings *is;
        struct kb_cluster_call *call;
        struct kb_login_judgement *judgement;
        uint64_t generation; /* of the token it was asked with; 0: with one of the caller */
        kb_ask_done done;
        void *userdata;
        char text[512];
};

struct kb_question {
        enum kb_http_method method;
        const struct kb_path *path;
        struct kb_body *body;        /* ended here; NULL: none */
        const struct kb_span *token; /* instead of the host's; NULL */
        bool once, patient;
        uint64_t deadline;
};

/*
 * KB_E_OK: `done` will be called, never from inside here. Else nothing was asked, and problem says why. `is`
 * of the ask has to be set.
 */
enum kb_error kb_ask_start(struct kb_asking *ask, const struct kb_question *question, kb_ask_done done,
                           void *userdata, struct kb_problem *problem) _must_check_;
void kb_ask_cancel(struct kb_asking *ask); /* an idle one, too */
