/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The grants of a broker, with store, log, PID 1 and clock in the test's hands. Nothing happens by itself:
 * what the grants ask for is waiting until the test answers it, in any order, or lets the process die.
 *
 * world.c takes the place of the objects of helper/broker it stands for, so the linker leaves those out.
 */

#include "helper/broker/grant_steps.h"
#include "helper/broker/issue.h"
#include "helper/broker/unit_folder.h"
#include "tests/unit/test.h"

#define UNIT  "orders.service"
#define FIRST "0123456789abcdef0123456789abcdef"
#define NEXT  "fedcba9876543210fedcba9876543210"
#define SEC   KB_USEC_PER_SEC

extern struct kb_broker broker;

/* What goes wrong from now on. */
extern struct world_faults {
        int log;         /* the log takes nothing that is waited for */
        int commit;      /* it takes it, and cannot write it */
        int systemd;     /* PID 1 cannot be asked */
        bool no_calls;   /* no memory for another call to a store */
        unsigned memory; /* the how-manieth allocation from now on fails, and only that; 0 once it has */
} world_faults;

extern uid_t world_uid; /* whom it runs as; ours */
extern gid_t world_gid;
extern const char *world_unit;   /* who asks, and whose grants and folder are looked at; UNIT */
extern bool world_renewable;     /* whether leases are, from now on */
extern unsigned world_greetings; /* that were asked for, since a store was away */

/* Of a group of tests: the folder that stands for /run/keybearer/units. */
int world_make(void **state);
int world_remove(void **state);

/* A host where nothing was handed out, and UNIT runs as FIRST. */
void world_begin(void);
void world_end(void);

/* What a process that starts now finds: the log as it is on disk, the folders as they are. */
void world_die_and_start(void);

/* credentials.d/NAME.conf, as after a reload. text NULL: there is no such file. */
void world_define(const char *name, const char *text);

void world_invocation(const char *invocation); /* of UNIT; NULL: it does not run */
void world_pass(uint64_t usec);                /* of time; what is due is done */
void world_set_clock(int64_t usec);            /* the time of day jumps, ahead or back; nobody is told */

/* Everything since the last call, in order, "what which; what which; ...": calls to the store (when they are
 * made), records (when they are on disk) and what PID 1 is asked for. */
const char *world_trace(void);

/* --- somebody asks, as the unit's start does --- */

struct asked {
        unsigned answers;
        enum kb_error error;
        char reason[256];
        char values[256]; /* "name=value name=value", sorted */
        struct kb_issue *issue;
};
void world_ask(struct asked *asked, const char *credential);

/* --- what is waiting, the oldest first --- */

unsigned world_calls(void);           /* to a store, not answered */
void world_turn_to(const char *what); /* as in the trace: that one is next */
void world_fail(enum kb_error error, const char *text);
void world_reply(void (*put)(struct kb_writer *w)); /* to any of them; put NULL: nonsense */
/* To a fetch. pairs: name, value ..., NULL. */
void world_fetched(const char *lease, uint64_t ttl, const char *const *pairs);
#define FETCHED(lease, ttl, ...) world_fetched((lease), (ttl), (const char *const[]){__VA_ARGS__, NULL})
void world_revoked(void);
void world_renewed(uint64_t ttl);

void world_answer_any(void);      /* as a store that can do everything: password=x */
unsigned world_live_leases(void); /* that such a store has not revoked, and that have not ended */

void world_commit(void); /* all records that the log has taken are on disk */
void world_facts(int r, bool notifies_reload);
bool world_waits_for_facts(void);
void world_job(int r); /* reload, restart, signal, probe */
unsigned world_jobs(void);

/* --- what there is --- */

struct kb_held *world_held(const char *credential); /* of UNIT, NULL: none */
const char *world_file(const char *name);           /* in UNIT's current folder; NULL: not there */
unsigned world_folders(void);                       /* numbered ones of UNIT */

/* Asks for a credential, and sees it through: this lease, with password=VALUE. */
void world_issue(const char *credential, const char *lease, uint64_t ttl, const char *value);
