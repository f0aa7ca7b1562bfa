/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Something that listens where the broker would, in a thread of the test, and does as it is told. It speaks
 * the wire with the same codecs as the module; tests/wire has the implementation that shares nothing.
 */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "common/protocol.h"

#define STAND_IN_QUESTIONS 12
#define STAND_IN_HANDLE    "0123456789abcdef"

/* How the reply gets to the module. */
enum delivery {
        WHOLE,
        IN_TWO,    /* the first `cut` bytes, a pause, the rest */
        CUT,       /* the first `cut` bytes, then the end */
        SILENT,    /* the request is read and never answered */
        TRICKLE,   /* one byte every 20 ms, for ever: each wait is short, the whole has no end */
        OVERSIZED, /* a frame that says it has 2 GiB */
        NONSENSE,  /* a frame that does not decode */
        OTHER_VERB,
};

struct question {
        uint32_t ask;
        const char *prompt, *message;
        const char *expected; /* what proceed must bring */
};

/* What to answer. */
struct script {
        enum delivery delivery;
        size_t cut;
        unsigned good_requests; /* answered as they should be, before all this begins */
        uint32_t status;        /* answered when not KB_E_OK */
        const char *text;       /* with it */
        struct question questions[STAND_IN_QUESTIONS];
        const char *farewell; /* message of the reply that grants */
        const char *handle;   /* NULL: STAND_IN_HANDLE */
        const char *credentials;
        bool change_password;
        int pause_ms; /* before each reply */
        bool endless; /* asks the first question for ever */
};

/* What arrived. Strings are copies, empty when they did not come. */
struct seen {
        unsigned requests;
        uint32_t verb;
        char user[64], service[80], remote_host[300], remote_user[300], tty[80], session[80];
        bool privileged;
        char old_password[64], new_password[64];
        bool preliminary;
        size_t reply_size;
};

struct stand_in {
        struct script script;
        struct seen seen;
        size_t answered;        /* questions of the login at hand */
        enum delivery delivery; /* of the reply at hand */
        int fd;
        atomic_bool stopping;
        pthread_t thread;
};

/* Listens at path. The script is read at each request: change it only between two calls to the module. */
void stand_in_start(struct stand_in *s, const char *path, const struct script *script);
void stand_in_stop(struct stand_in *s);
