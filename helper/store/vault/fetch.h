/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Inside the engines only: one fetch under way, and what an engine does with it. An engine's `begin` is
 * called once the mount is known; it asks with kb_fetch_ask(), as often as it needs, and ends the fetch with
 * kb_fetch_done*() or kb_fetch_fail*(). Nothing may touch the fetch after that.
 */

#include "helper/store/vault/ask.h"
#include "helper/store/vault/kept.h"
#include "helper/store/vault/lease.h"
#include "helper/store/vault/mounts.h"

#define KB_FETCH_WAITERS    8
#define KB_FETCH_FIELDS_MAX ((size_t)1024 * 1024) /* bytes */
#define KB_FETCH_ELEMENTS   128                   /* names and values, of a reply: common/protocol.def */

struct kb_fetch;

/* What a type of mount has. The first row that fits counts. */
struct kb_engine {
        const char *type;    /* of the mount; NULL: any */
        const char *prefix;  /* of what stands behind the mount's path; NULL: anything */
        const char *methods; /* words that Method= may be, beside none; " read write " */
        bool leased;         /* what it gives needs a token that can hold a lease */
        bool versions;       /* Version= means something */
        bool bare;           /* it takes no parameters */
        void (*begin)(struct kb_fetch *f);
};

struct kb_engines {
        struct kb_engines_settings is;
        struct kb_mounts mounts;
        struct kb_kept *kept;
        sd_event_source *tidy;
        struct kb_fetch *fetches;
        struct kb_lease_work *works;        /* renewals, revocations, and what is taken back */
        struct kb_permissions *permissions; /* that are asked for */
};

struct kb_fetch {
        struct kb_fetch *next, **at;
        struct kb_engines *engines;
        struct kb_asking ask;
        void (*answered)(struct kb_fetch *f, const struct kb_asked *asked);

        struct kb_request *waiters[KB_FETCH_WAITERS];
        unsigned n_waiters;

        struct kb_span question;    /* the request's fields, a copy */
        struct kb_fetch_request is; /* points into it */
        uint64_t deadline;          /* CLOCK_MONOTONIC */
        uint64_t person_ends;       /* CLOCK_BOOTTIME: the token of is.person, who may be nobody */

        const struct kb_engine *engine;
        struct kb_mount mount;
        const char *rest;  /* of is.path, behind the mount */
        bool mount_looked; /* for this fetch: else it was known from before */
        bool again;        /* it was begun anew already */

        /* Of single engines. */
        sd_event_source *timer;
        struct kb_writer key; /* a private key that was made here */
        char seen[65];        /* what a static password's rotation was before */
        bool rotated;         /* asked for, by us */
};

/* "ROLE" of "creds/ROLE" when the prefix is "creds/"; all of it without one. */
const char *kb_fetch_name(const struct kb_fetch *f);

/* The value of a parameter; NULL when there is none, or it has a NUL. */
const char *kb_fetch_parameter(const struct kb_fetch *f, const char *name);

/* MOUNT/REST, and all parameters as members of a body. */
struct kb_path kb_fetch_path(const struct kb_fetch *f);
struct kb_body kb_fetch_body(const struct kb_fetch *f);

/* Asks; what comes is given to `answered`. When it cannot be asked the fetch ends here. */
void kb_fetch_ask(struct kb_fetch *f, const struct kb_question *question,
                  void (*answered)(struct kb_fetch *f, const struct kb_asked *asked));

/* The usual two: GET and POST of that path with the host's token. once: it must not be done twice. */
void kb_fetch_get(struct kb_fetch *f, const struct kb_path *path, bool once,
                  void (*answered)(struct kb_fetch *f, const struct kb_asked *asked));
void kb_fetch_post(struct kb_fetch *f, const struct kb_path *path, struct kb_body *body, bool once,
                   void (*answered)(struct kb_fetch *f, const struct kb_asked *asked));

/* --- putting fields together --- */

/* All members of an object, and what the request's pointers lead to: strings as they are, the rest as JSON.
 */
void kb_fetch_add_all(const struct kb_fetch *f, struct kb_list_builder *fields,
                      const struct kb_json_value *object);
/* One member, under its name, when it is there. */
void kb_fetch_add_member(struct kb_list_builder *fields, const struct kb_json_value *object,
                         const char *name);
/* The same of PEM: each ends in a line end, a list becomes one after the other. Nothing when it is absent.
 */
void kb_fetch_add_pem(struct kb_list_builder *fields, const char *name, const struct kb_json_value *value);

/* A member of the data that has to be text; NULL after the fetch has ended with a complaint. */
const char *kb_fetch_text(struct kb_fetch *f, const struct kb_asked *asked, const char *name);

/* --- the end --- */

void kb_fetch_end(struct kb_fetch *f); /* whose waiters are answered */
void kb_fetch_fail(struct kb_fetch *f, enum kb_error error, const char *format, ...) _printf_(3, 4);
/* When the server did not do it: with what it said, and the path. False: it did. */
bool kb_fetch_refused(struct kb_fetch *f, const struct kb_asked *asked);
/* The server's answer makes no sense; a lease that it has is taken back. */
void kb_fetch_nonsense(struct kb_fetch *f, const struct kb_asked *asked, const char *part);

/*
 * The answer. lease is a name of lease.h, or an error of making it; ttl in seconds, 0: no end. What does
 * not fit the wire ends as KB_E_UNSUPPORTED, and what was leased is taken back.
 */
struct kb_fetch_answer {
        const struct kb_list_builder *fields;
        char lease[KB_LEASE_NAME_MAX + 1];
        uint64_t ttl;
        bool renewable;
        const char *version;
};
void kb_fetch_done(struct kb_fetch *f, const struct kb_fetch_answer *answer);

/* With the lease of the server's answer: its time is cut to that of the token. */
void kb_fetch_done_leased(struct kb_fetch *f, const struct kb_asked *asked,
                          const struct kb_list_builder *fields);
/* Of a secret that has no end and no version of the server: a fingerprint is its version. */
void kb_fetch_done_kept(struct kb_fetch *f, const struct kb_list_builder *fields);
/* All of the answer's data; false after the fetch has ended, since there is none. */
bool kb_fetch_add_data(struct kb_fetch *f, const struct kb_asked *asked, struct kb_list_builder *fields)
        _must_check_;
/* Whichever of both the answer is about. */
void kb_fetch_done_data(struct kb_fetch *f, const struct kb_asked *asked);

/* Lets go of answers that are over, and comes back when the next one is: after each that was kept. */
void kb_engines_tidy(struct kb_engines *e);

/* What nobody holds is revoked, in the background. A lease of the server; and by its name, of any kind. */
void kb_engines_take_back(struct kb_engines *e, const char *name);

/* How long a lease of the server lives: no longer than the token it was made with. 0: that token is dead. */
uint64_t kb_engines_left(const struct kb_engines *e, uint64_t generation, int64_t seconds);

/* --- the engines: one file each --- */

void kb_engine_kv(struct kb_fetch *f);
void kb_engine_static(struct kb_fetch *f); /* database/static-creds/ROLE */
void kb_engine_issue(struct kb_fetch *f);  /* pki/issue/ROLE */
void kb_engine_sign(struct kb_fetch *f);   /* pki/sign/ROLE */
void kb_engine_ssh(struct kb_fetch *f);    /* ssh/sign/ROLE */
void kb_engine_totp(struct kb_fetch *f);
void kb_engine_decrypt(struct kb_fetch *f); /* transit/decrypt/KEY */
void kb_engine_unwrap(struct kb_fetch *f);
void kb_engine_creds(struct kb_fetch *f); /* database/creds/ROLE */
void kb_engine_any(struct kb_fetch *f);
