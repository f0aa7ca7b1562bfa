/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Attributes and the few macros everybody uses. Nothing here allocates or calls. */

#include <stddef.h>

#define KB_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define KB_STRINGIFY_(x) #x
#define KB_STRINGIFY(x)  KB_STRINGIFY_(x)

/* How a noun ends behind this number: "1 file", "2 files", "no files". */
#define KB_S(n) ((n) == 1 ? "" : "s")

#define _printf_(fmt, args) __attribute__((format(printf, fmt, args)))
#define _must_check_        __attribute__((warn_unused_result))
#define _nonnull_           __attribute__((nonnull))
#define _export_            __attribute__((visibility("default")))

/* Milliseconds and microseconds, so that no literal needs a comment. */
#define KB_USEC_PER_MSEC ((uint64_t)1000)
#define KB_USEC_PER_SEC  ((uint64_t)1000000)
