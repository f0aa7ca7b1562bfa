/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A name for something of ours that travels through programs of others: 128 random bits, nobody guesses it.
 */

#include "common/macro.h"

#define KB_HANDLE_SIZE 33 /* 32 hex digits and NUL */

/* 0 or -EIO. */
int kb_handle_make(char ret[static KB_HANDLE_SIZE]) _must_check_;
