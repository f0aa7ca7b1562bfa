/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Files: small ones that are there as a whole or not at all, and writing all of something. */

#include <sys/types.h>

#include "common/secret.h"

/* write(2), pwrite(2) of everything: 0, or a negative errno and some of it may be written. */
int kb_file_write_all(int fd, struct kb_span bytes) _must_check_;
int kb_file_pwrite_all(int fd, struct kb_span bytes, uint64_t offset) _must_check_;

/* Names are relative to a folder's descriptor from here on. */

/*
 * Replaces the file by rename(2); it is on disk when this returns 0. Readers see the old one or the new one,
 * and a crash leaves at worst a file NAME.new behind, which the next write replaces. The mode is set as
 * given, whatever the umask. 0 or a negative errno; then the old one is untouched, or if only the last step
 * failed, which makes the rename last, the new one is there already and may be gone after a loss of power.
 */
int kb_file_write_at(int folder_fd, const char *name, struct kb_span content, mode_t mode) _must_check_;

/*
 * The whole of a regular file, in memory for secrets with a NUL behind it that *ret_size does not count;
 * kb_secret_free() it. 0; -ENOENT; -ELOOP for a link; -EINVAL for what is no file; -EFBIG when it has more
 * than max bytes; or another errno of open(2) and read(2).
 */
int kb_file_read_at(int folder_fd, const char *name, size_t max, uint8_t **ret, size_t *ret_size)
        _must_check_;

/* The same of a file that has exactly this size, else -EBADMSG. */
int kb_file_read_exactly_at(int folder_fd, const char *name, void *ret, size_t size) _must_check_;
