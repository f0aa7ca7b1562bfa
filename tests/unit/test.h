/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* cmocka needs these in this order, before its own header. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

/* Asserts that an expression is >= 0, and says which errno it was when it is not. */
#define assert_ok(expression)                                                                               \
        do {                                                                                                \
                long r_ = (long)(expression);                                                               \
                if (r_ < 0)                                                                                 \
                        fail_msg("%s: %s", #expression, strerror((int)-r_));                                \
        } while (0)
