/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A file that a host logs in with. Who can read it can do the same, so it is judged on the open descriptor
 * before it is read: an absolute path, a regular file, of root or of this program's user, writable for
 * nobody else, and readable for nobody but these and their group.
 */

#include <sys/types.h>
#include <time.h>

#include "common/secret.h"
#include "helper/store/problem.h"

#define KB_LOGIN_FILE_MAX (16 * 1024)

enum kb_login_file_flag {
        KB_LOGIN_FILE_LINK = 1, /* may be a symbolic link: a projected token of Kubernetes is one */
        KB_LOGIN_FILE_OPEN = 2, /* others may read it */
};

struct kb_login_file {
        uint8_t *bytes; /* without white space around, and with a NUL behind; kb_secret_free() */
        size_t size;
        dev_t dev;
        ino_t ino;
        struct timespec changed;
};

void kb_login_file_done(struct kb_login_file *file);
#define _cleanup_login_file_ _cleanup_(kb_login_file_done)

/*
 * what: "the SecretID", for the sentence. KB_E_OK; KB_E_NOT_FOUND when there is none; KB_E_DENIED when it
 * cannot be trusted or read; KB_E_BAD_REQUEST when what is in it cannot be that: nothing, more than
 * KB_LOGIN_FILE_MAX bytes, or anything that is no printable ASCII.
 */
enum kb_error kb_login_file_read(const char *path, unsigned flags, const char *what,
                                 struct kb_login_file *ret, struct kb_problem *problem) _must_check_;

/* Removes it unless another one has taken its place since. 0, also when it is gone; or a negative errno. */
int kb_login_file_remove(const char *path, const struct kb_login_file *file) _must_check_;
