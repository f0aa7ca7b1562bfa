/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The methods of a login, as a table: which files each of them reads, and what it sends. A method is a row,
 * and a function that writes a body.
 */

#include "helper/store/vault/api.h"
#include "helper/store/vault/body.h"
#include "helper/store/vault/login.h"
#include "helper/store/vault/login_file.h"

#define KB_LOGIN_PARTS 2

/* A file that a method reads at each login. */
struct kb_login_part {
        const char *what; /* "the SecretID"; NULL: no such part */
        size_t path;      /* which of kb_login_settings it is: its offset */
        unsigned flags;   /* KB_LOGIN_FILE_* */
        bool optional;    /* may not be set */
};

struct kb_login_method_row {
        const char *word;
        bool careful; /* to say the same again after a refusal leads nowhere, or to a lockout */
        bool given;   /* the token is in the file: it is looked up instead of a login */
        bool watched; /* a file that changes replaces a token that lives */
        bool role;    /* Role= is needed */
        struct kb_login_part parts[KB_LOGIN_PARTS];
        void (*body)(const struct kb_login_settings *settings, const struct kb_span *parts,
                     struct kb_body *b);
};

extern const struct kb_login_method_row kb_login_methods[KB_LOGIN_METHODS];

/* The SecretID is this part of approle. */
#define KB_LOGIN_PART_SECRET_ID 1

/* The files of a method, as they are now. */
struct kb_login_material {
        struct kb_login_file files[KB_LOGIN_PARTS]; /* what is not set, or not there, is empty */
        enum kb_error errors[KB_LOGIN_PARTS];
        struct kb_problem problem; /* of the first one that cannot be used */
        uint64_t print;            /* another one when any of them has changed */
};

void kb_login_material_read(const struct kb_login_settings *settings, struct kb_login_material *ret);
void kb_login_material_done(struct kb_login_material *material);
#define _cleanup_material_ _cleanup_(kb_login_material_done)

/* 64 bits of SHA-256: to tell contents apart. */
uint64_t kb_login_print(struct kb_span bytes);

/* 0; -EINVAL when something is not set that the method needs. */
int kb_login_settings_check(const struct kb_login_settings *settings) _must_check_;
