/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Two kinds of error, and one place where they meet.
 *
 * Functions return 0 or a negative errno. What a *request* came to is an enum kb_error, because it crosses
 * the wire and is mapped to PAM codes, exit codes and log reasons (error.def). kb_error_from_errno() is the
 * only bridge.
 */

enum kb_error {
#define ERROR(number, name, word, exit_status, text) KB_E_##name = number,
#include "common/error.def"
#undef ERROR
};

/* The word for log, journal and --json: "denied". Never NULL; "unknown" for a number that is not ours. */
const char *kb_error_word(enum kb_error error);

/* A sentence for a person. Never NULL. */
const char *kb_error_text(enum kb_error error);

/* Exit status of the CLI, 1 for a number that is not ours. */
int kb_error_exit_status(enum kb_error error);

/* r: 0 or a negative errno. What we cannot place is KB_E_INTERNAL: a refusal, never a success. */
enum kb_error kb_error_from_errno(int r);
