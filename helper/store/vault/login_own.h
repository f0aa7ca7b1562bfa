/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The inside of a login, shared by login.c (its life), login_steps.c (what is asked) and login_keep.c. */

#include "helper/store/vault/login.h"
#include "helper/store/vault/login_method.h"
#include "helper/store/vault/token.h"

#define KB_LOGIN_TOKEN_MAX     2048
#define KB_LOGIN_SECRET_ID_MAX 512
#define KB_LOGIN_ACCESSOR_MAX  128
#define KB_LOGIN_OLDER         8

/* A token that was replaced, and whose leases live on with it. */
struct kb_login_older {
        uint64_t generation;
        uint64_t ends;  /* CLOCK_BOOTTIME */
        uint64_t clock; /* the same by the time of day, as it is kept */
};

struct kb_login_judgement {
        struct kb_login *login;
        struct kb_login_judgement *next;
        kb_login_judged done;
        void *userdata;
};

struct kb_login {
        sd_event *event;
        sd_event_source *timer;  /* the next step */
        sd_event_source *look;   /* at the files */
        sd_event_source *notice; /* to be given */
        struct kb_cluster *cluster;
        struct kb_cluster_call *call;
        struct kb_login_settings settings;
        const struct kb_login_method_row *method;
        kb_login_changed changed;
        void *userdata;

        bool greeted;
        struct kb_token plan;
        uint64_t asked;            /* when the step under way began */
        struct kb_problem problem; /* of the login */
        struct kb_problem trouble; /* of a token that lives: with its renewal, or a file that stays */

        uint8_t *token; /* with a NUL behind it; NULL: none */
        size_t token_size;
        char accessor[KB_LOGIN_ACCESSOR_MAX + 1];
        bool batch;
        uint64_t generation;
        uint64_t clock; /* when it ends, by the time of day, as of when that was told */
        struct kb_login_older older[KB_LOGIN_OLDER];
        uint64_t last; /* generation that was given */
        uint64_t epoch;

        uint64_t print;         /* of the files, as of the last try */
        uint64_t refused_print; /* of those that were refused */
        uint64_t refused_clock; /* when, by the time of day */

        /* What cannot be read from its file once more: it was wrapped, or the file is removed. */
        uint8_t *secret_id;
        size_t secret_id_size;
        uint64_t secret_id_source; /* print of the content it came from */
        uint64_t checked;          /* print of the token whose creation_path was found right */
        struct kb_login_file used; /* the file it came from; without its bytes */
        bool removable;            /* it is, once the broker keeps the SecretID */
        struct kb_login_judgement *judgements;
};

/* login.c */

/* After anything: sets the timers, and has it noticed. */
void kb_login_arrange(struct kb_login *login);

/* Says that the host is not logged in, and why; error is one that passes. */
void kb_login_fails(struct kb_login *login, enum kb_error error, const char *format, ...) _printf_(3, 4);

/* What comes of what was asked with a token that is not in use any more, or was looked up. */
void kb_login_tell(struct kb_login *login, enum kb_error error);

/* Takes a copy of the token as the one in use; `plan` is still that of the one before. 0 or -ENOMEM. */
int kb_login_use(struct kb_login *login, struct kb_span token, const char *accessor, bool batch)
        _must_check_;

/* Lets go of the token in use. early: it died before its time. */
void kb_login_drop(struct kb_login *login, bool early);

uint64_t kb_login_random(const struct kb_login *login);
void kb_login_remember(struct kb_login *login, struct kb_span secret_id, uint64_t source);

/* login_steps.c */
void kb_login_step(struct kb_login *login, enum kb_token_step step, uint64_t now);

/* login_keep.c: what a greeting brought. Returns whether the broker keeps our SecretID. */
bool kb_login_kept(struct kb_login *login, struct kb_span keep, bool first);
