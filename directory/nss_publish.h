/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Makes a directory what every process on this host sees: see nss_file.h. For root, who owns the folder;
 * several may try at once (the broker, and whoever sets the host up), and only one of them does.
 */

#include "directory/document.h"

/*
 * Writes users-1 anew in the folder behind the descriptor, and raises the number in generation. When it
 * returns 0, it is on disk and seen by the next look-up of every process; else, names are what they were:
 * -ENOSPC, -EROFS, -EACCES, -ENOMEM ..., or -EAGAIN while another publishes, who is not waited for. Publish
 * once after every start, changed or not: a publisher that died in the middle may have left a file that
 * nobody was told of.
 */
int kb_nss_publish(int folder_fd, const struct kb_directory *directory) _must_check_;

/* A file without anybody, for a host that has no directory yet: certain answers instead of "cannot tell". */
int kb_nss_publish_empty(int folder_fd, struct kb_id_range range) _must_check_;
