/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Small files that we write for others to read: whole, or not at all. */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* The whole file as text, "" when there is none. NULL when it cannot be read, with errno. */
char *cli_file_read(const char *path);

/*
 * Makes path hold these bytes: a new file beside it, synced, then renamed over it. Folders above it are made
 * (0755). 1 when it was written, 0 when it held them already, a negative errno.
 */
int cli_file_write(const char *path, const void *bytes, size_t size, mode_t mode);

/* 1 when it is gone now, 0 when it was not there. */
int cli_file_remove(const char *path);
