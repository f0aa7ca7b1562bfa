/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * How this host stays logged in to a cluster, and the token that it has from that. One login for each store
 * program; everything it asks a server for as this host, it asks with this token.
 *
 *   r = kb_login_new(&login, event, cluster, &settings, on_change, vault);
 *   ...
 *   kb_login_restore(login, hello.keep);            // at each greeting; nothing is asked before the first
 *   kb_login_keep(login, &writer);                  // and this into its answer
 *   ...
 *   problem = kb_login_problem(login);
 *   if (problem->error != KB_E_OK)
 *           kb_request_fail(request, problem->error, "%s", problem->text);
 *   call.token = kb_login_token(login);             // cluster.h copies it
 *   generation = kb_login_generation(login);        // to be written down with the lease that comes of it
 *
 * What it does by itself
 *
 *   logs in        with the method of the settings (login_method.h has the table of them)
 *   renews         at two thirds of the token's life, less up to a tenth; for as long as the end moves
 *   logs in anew   half way to the end of a token that cannot be renewed any more. The old one stays in use
 *                  until the new one is there, and lives on until its end: leases die with the token they
 *                  were made with, so whoever holds one has the other half to fetch another
 *   waits          after a failure, 1 s and twice as long each time, five minutes at most, less up to a
 *                  quarter; not at all for a file that was missing or wrong, once it changes
 *   does not       feed a lockout: OpenBao locks a role for 15 minutes after 5 bad logins. After two
 *                  refusals it asks again when the files change, or after more than 15 minutes, each time
 *                  once. That is remembered in what is kept, so that a restart is no way round it
 *
 * Times are CLOCK_BOOTTIME. What is planned, and when, is token.h, which has no clock.
 */

#include <systemd/sd-event.h>

#include "common/clock.h"
#include "common/wire.h"
#include "helper/store/problem.h"
#include "helper/store/vault/cluster.h"

#define KB_LOGIN_KEEP_MAX 4096 /* of the wire: `hello` */

/* In the order of Method= in stores.conf(5). */
enum kb_login_method {
        KB_LOGIN_APPROLE,
        KB_LOGIN_CERT, /* the certificate is that of the cluster's connections (kb_http_settings) */
        KB_LOGIN_JWT,
        KB_LOGIN_KUBERNETES,
        KB_LOGIN_TOKEN,
        KB_LOGIN_METHODS
};

/* Everything is copied. NULL, "" and 0 mean that it was not given. */
struct kb_login_settings {
        enum kb_login_method method;
        const char *namespace;
        const char *mount; /* below auth/; default: the method's name */
        const char *role;  /* approle: of the wrapped SecretID; cert, jwt: optional; kubernetes: needed */

        const char *role_id_file;         /* approle */
        const char *secret_id_file;       /* approle: this, or the next, or neither for a role without one */
        const char *secret_id_credential; /* approle: its name in the folder `credentials` */
        const char *credentials;          /* $CREDENTIALS_DIRECTORY, an absolute path */
        bool secret_id_wrapped;           /* it is a token that wraps a SecretID */
        bool remove_secret_id_file;       /* once a login with it has succeeded */
        const char *jwt_file;             /* jwt, kubernetes; default with kubernetes: the pod's */
        const char *token_file;           /* token */

        uint32_t renew_at;     /* share of the token's life, in millionths; default: two thirds */
        uint64_t request_usec; /* for one request of ours; default: 8 s */

        /* Even 64 bits for spreading; NULL: the kernel's. */
        uint64_t (*random)(void *userdata);
        void *userdata;
};

struct kb_login;

/* Readiness, problem, token or generation may be others now. Not called from inside a function of these. */
typedef void (*kb_login_changed)(struct kb_login *login, void *userdata);

/* 0; -EINVAL when a setting that the method needs is not given; -ENOMEM. The cluster must outlive it. */
int kb_login_new(struct kb_login **ret, sd_event *event, struct kb_cluster *cluster,
                 const struct kb_login_settings *settings, kb_login_changed changed, void *userdata)
        _must_check_;

/* Asks nothing of a server any more, and does not revoke the token. */
void kb_login_free(struct kb_login *login);
KB_DEFINE_CLEANUP(struct kb_login, kb_login_free);

/* --- what is kept over crash and reboot, by the broker --- */

/*
 * What was kept, empty when nothing was. To be called at each greeting: only the first one since
 * kb_login_new() counts, and before it nothing is asked, because a login of its own would be one too many.
 * The kept token is looked up before it is used. What cannot be read counts as nothing.
 */
void kb_login_restore(struct kb_login *login, struct kb_span keep);

/*
 * What is to be kept now, at most KB_LOGIN_KEEP_MAX bytes: the token (a secret), its accessor, when it ends,
 * which tokens before it still live, what was refused, and a SecretID that cannot be read from its file once
 * more. Nothing is appended before the first greeting. A SecretIdFile= is removed when a greeting brings
 * that back.
 */
void kb_login_keep(const struct kb_login *login, struct kb_writer *to);

/* --- how it is --- */

/*
 * error KB_E_OK: logged in, and the token may be used. Else what to answer to whoever needs it, with cause
 * and cure in the text; never a secret. Lives as long as the login, and changes with it.
 */
const struct kb_problem *kb_login_problem(const struct kb_login *login);

/* Empty while not logged in: also from the moment on at which it ends. Lives until the next change. */
struct kb_span kb_login_token(const struct kb_login *login);

const char *kb_login_accessor(const struct kb_login *login); /* "" when there is none: batch tokens */

/* A batch token makes no leases: what is leased has to be refused (KB_E_UNSUPPORTED). */
bool kb_login_batch(const struct kb_login *login);

/* When the token in use ends unless it is renewed; KB_TIME_NEVER: it does not; 0 while not logged in. */
uint64_t kb_login_ends(const struct kb_login *login);

/*
 * Each token has a number, never 0 and never used twice on this host. A lease lives no longer than the token
 * it was made with: cap its time with kb_login_generation_ends(), also at each renewal, which any token of
 * ours may ask for. 0: that token is dead or not known, and so is the lease.
 */
uint64_t kb_login_generation(const struct kb_login *login); /* of the token in use; 0: none */
uint64_t kb_login_generation_ends(const struct kb_login *login, uint64_t generation);

/* For `hello`: another number than before when a token has died before its time, with all its leases. */
uint64_t kb_login_epoch(const struct kb_login *login);

/* Names and texts for `store status`: login, token accessor, ends, renewal, trouble. */
void kb_login_facts(const struct kb_login *login, struct kb_list_builder *facts);

/* --- when a server refuses the token --- */

/*
 * Somebody got 403 with the token of that generation. The server says the same to a dead token and to one
 * that may not do this, so it is asked (auth/token/lookup-self), once for all who come meanwhile, and `done`
 * is called with what came of it, never from inside kb_login_judge():
 *
 *   KB_E_DENIED       the token lives: the refusal was meant
 *   KB_E_EXPIRED      it is dead, or was replaced meanwhile: ask again with another one
 *   KB_E_UNREACHABLE  nobody knows
 *
 * 0; -ESTALE when it is not the token in use any more: ask again with that; -ENOMEM.
 */
typedef void (*kb_login_judged)(enum kb_error error, void *userdata);
struct kb_login_judgement;
int kb_login_judge(struct kb_login *login, uint64_t generation, kb_login_judged done, void *userdata,
                   struct kb_login_judgement **ret) _must_check_;
void kb_login_judge_cancel(struct kb_login_judgement *judgement); /* NULL is allowed */
