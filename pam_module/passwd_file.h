/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Is this name in /etc/passwd? Read line by line with read(2) and not with getpwnam(3), which would ask
 * every source of nsswitch.conf and so could wait for one, or find a name that `files` does not have.
 */

/*
 * 1 when path has a line for name, 0 when it has none, or a negative errno: -EINVAL for a name that no line
 * can have, -EBADF when path is no regular file, -EFBIG beyond 64 MiB, or what open(2) and read(2) say.
 */
int kb_passwd_file_has(const char *path, const char *name);
