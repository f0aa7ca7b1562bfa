/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Reading a file that decides something. Whoever can write it decides too, so it is judged before it is
 * read, and judged on the open descriptor: absolute path, no symlink at its end, a regular file, owned by
 * root, not writable for group or others, at most KB_CONFIG_FILE_MAX bytes. A file that is for one program
 * alone may be read by its group only.
 */

#include <sys/types.h>

#include "helper/config/problems.h"

#define KB_CONFIG_FILE_MAX (256 * 1024)

struct kb_config_trust {
        uid_t owner;        /* 0; a test that is not root expects itself */
        const char *reader; /* name of the only group that may read files; NULL: everybody may */
        gid_t reader_gid;   /* of that group */
};

/*
 * The bytes of the file, with a NUL behind them that *ret_size does not count; free() them. 0; -ENOENT when
 * there is none (which is no problem yet); -EBADMSG after a problem was added; -ENOMEM.
 */
int kb_config_file_read(const char *path, const struct kb_config_trust *trust, struct kb_problems *problems,
                        char **ret_bytes, size_t *ret_size) _must_check_;

/*
 * Names in the folder that end in ".conf", sorted, as a NULL-terminated list; hidden ones and what editors
 * and package managers leave behind are not among them. A folder that does not exist is empty. The folder is
 * judged as a file is. 0, -EBADMSG, -ENOMEM.
 */
int kb_config_folder_list(const char *path, const struct kb_config_trust *trust,
                          struct kb_problems *problems, char ***ret_names) _must_check_;

void kb_strv_free(char **list);
KB_DEFINE_CLEANUP(char *, kb_strv_free);
#define _cleanup_strv_ _cleanup_(kb_strv_freep)
