/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * One file per parser, fuzz-NAME.c, with this one function; its corpus is corpus/NAME/. In a build with
 * --enable-fuzzing libFuzzer calls it, in every other build replay.c does, with each file of the corpus.
 *
 * A target returns 0. What must hold and does not, it says with FUZZ_ASSERT().
 */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define FUZZ_ASSERT(expression)                                                                             \
        do {                                                                                                \
                if (!(expression))                                                                          \
                        abort();                                                                            \
        } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
