/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A folder of one's own for a test that needs files: made by group setup, removed by group teardown. */

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/macro.h"

static char test_folder[] = "/tmp/keybearer-test.XXXXXX";

static inline int test_folder_make(void **state)
{
        return mkdtemp(test_folder) ? 0 : -1;
}

static inline int test_folder_remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
        return remove(path);
}

static inline int test_folder_remove(void **state)
{
        return nftw(test_folder, test_folder_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* The path of a file in it. Valid until the fourth call from now. */
static inline const char *in_folder(const char *name)
{
        static char paths[4][512];
        static unsigned turn;
        char *path = paths[turn++ % KB_ARRAY_SIZE(paths)];

        snprintf(path, sizeof(paths[0]), "%s/%s", test_folder, name);
        return path;
}
