/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What limits in the tables of keys are written in. Only for files that expand such a table. */

#include "common/clock.h"

#define MSEC   KB_USEC_PER_MSEC
#define SEC    KB_USEC_PER_SEC
#define MINUTE (60 * SEC)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)
#define KIB    UINT64_C(1024)
#define GIB    (UINT64_C(1) << 30)
