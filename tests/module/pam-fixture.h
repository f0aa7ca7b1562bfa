/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A world for the PAM module: real libpam with a folder of its own for service files, the built module
 * (linked with settings of the tests: tests/module/pam-settings.c), a person who types what a table says,
 * and a broker that is a stand-in. Nothing of the system is touched, and no root is needed.
 *
 *   ana, bea    ours
 *   local       in the password file
 *   stolen      in neither, but getpwnam(3) finds an id of our range
 *   twin        ours, but getpwnam(3) finds another id
 *   guest       in neither, getpwnam(3) finds another id
 */

#include <security/pam_appl.h>
#include <stdbool.h>

#include "tests/module/stand-in.h"

/* What the person's side does with one prompt. */
enum reaction {
        TYPES,         /* text */
        SAYS_NOTHING,  /* PAM_SUCCESS, and a NULL where the text should be */
        NO_RESPONSE,   /* PAM_SUCCESS, and no response at all */
        FAILS,         /* PAM_CONV_ERR */
        WANTS_TO_WAIT, /* PAM_CONV_AGAIN */
        FAILS_TYPING,  /* text, and PAM_CONV_ERR with it */
        TYPES_TOO_MUCH /* 1 MiB */
};

struct reply {
        enum reaction reaction;
        const char *text;
        int nap_ms; /* before it */
};

struct person {
        struct reply replies[STAND_IN_QUESTIONS + 4]; /* after the last: FAILS */
        bool absent;                                  /* no conversation function at all */

        unsigned n_prompts, n_notes;
        int style;                      /* of the last prompt */
        char prompt[4096], notes[4096]; /* the last prompt; all notes and errors, a line each */
};

struct visit {
        const char *user; /* NULL: the module has to ask */
        const char *service;
        const char *arguments;
        struct person person;
        struct script broker;
        bool no_broker; /* nobody listens */

        pam_handle_t *pamh;
        struct stand_in stand_in;
        unsigned delay; /* that the module asked for */
};

/* The module's name in tests/module of the build; before pam_world_make() it may be set to another one. */
extern const char *pam_world_module;

/* In a program that loads pam_keybearer_faulty.so: whether this call of the module to `call` fails, with
 * errno set. */
bool pam_world_fails(const char *call);

/* For cmocka: the folder with everything in it. */
int pam_world_make(void **state);
int pam_world_remove(void **state);

/* A visit begins and ends. Everything that was set before begin holds. */
void visit_begin(struct visit *v);
void visit_end(struct visit *v);
#define _cleanup_visit_ _cleanup_(visit_end)

/* Begins, calls one pam_*() function, ends. The person and what the broker saw can be looked at afterwards.
 */
int visit_once(struct visit *v, int (*call)(pam_handle_t *pamh, int flags), int flags);

/* The folder of the world, and another one beside it: the same people, or a name service file that is
 * spoilt. */
enum names_state { NAMES_GOOD, NAMES_MISSING, NAMES_CUT, NAMES_GARBAGE };
void pam_world_enter(enum names_state state);

/* Who runs the program that uses PAM, as getuid(2) says: root, unless a test sets another one. */
extern uid_t pam_world_uid;

/* A path in the world one is in. Valid until the fourth call from now. */
const char *pam_world_path(const char *name);

/* What the module wrote to the journal since the visit began: "<level> text\n" each. */
const char *journal(void);
