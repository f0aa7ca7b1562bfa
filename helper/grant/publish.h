/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Folders in which running consumers find values that change:
 *
 *   BASE/NAME/7/db.username       the values before, until kb_publish_settle()
 *   BASE/NAME/8/db.username
 *   BASE/NAME/8/db.password
 *   BASE/NAME/current -> 8        swapped by one rename: all of the old or all of the new
 *
 * All folders are root's, so a consumer cannot put anything into them. BASE/NAME is 0755, for inotify(7);
 * the numbered ones are 0750 with the consumer's group. With KB_PUBLISH_FOR_GROUP the files in them are
 * root's with that group, 0440: nobody can make them writable, and fill memory through them. It is for a
 * group that nobody else is in. Else the files are the consumer's, 0400. BASE is an open folder that only
 * root can write to. No link in it is followed, and a folder is taken back into root's hands before it is
 * removed. That needs CAP_CHOWN and CAP_FOWNER, and nothing else.
 *
 * Nothing is synced to disk: BASE is memory, and gone with the host.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/secret.h"

/*
 * One file; or, carried, a credential whose values are not at hand, as after a restart of ours: what a
 * folder has of NAME and NAME.FIELD is in the new one too.
 */
struct kb_publish_file {
        const char *name; /* no '/', no leading '.' */
        struct kb_span value;
        bool carried;
        unsigned long long from; /* the number of that folder; 0: the current one, if there is any */
};

#define KB_PUBLISH_FOR_GROUP ((uid_t)-1) /* for fchown(2): the owner stays root */

/*
 * Makes these the current files of NAME, owned by uid and gid, whoever owned those before. The values before
 * stay beside them, those before go. On failure everything is as it was.
 *
 * 0; -EINVAL: a name that is not one, or twice the same; -ENOENT: a folder that is to be carried from is not
 * there; -ENOSPC, -EIO and whatever else the file system says.
 */
int kb_publish(int base_fd, const char *name, const struct kb_publish_file *files, size_t n_files, uid_t uid,
               gid_t gid) _must_check_;

/* Numbers of folders that stay as well, because what they have may still be wanted. */
struct kb_publish_keep {
        const unsigned long long *number;
        size_t n;
};
int kb_publish_beside(int base_fd, const char *name, const struct kb_publish_file *files, size_t n_files,
                      uid_t uid, gid_t gid, struct kb_publish_keep keep) _must_check_;

/* The number of the current folder of NAME, 0 when there is none, or a negative errno. */
long long kb_publish_current(int base_fd, const char *name) _must_check_;

/* The consumer uses the current files: removes all others of NAME. 0; -ENOENT: there is no NAME. */
int kb_publish_settle(int base_fd, const char *name) _must_check_;

int kb_publish_settle_beside(int base_fd, const char *name, struct kb_publish_keep keep) _must_check_;

/* Removes NAME with all that is in it; no error when it is not there. */
int kb_publish_remove(int base_fd, const char *name) _must_check_;

/* Whether the current files of NAME have NAME or NAME.FIELD of this credential. 1, 0 or a negative errno. */
int kb_publish_has(int base_fd, const char *name, const char *credential) _must_check_;

/*
 * After a start: removes every NAME that `keep` does not want, and settles the others, which clears away
 * what a crash left half done. 0, or the first error after going on with the rest.
 */
int kb_publish_clean(int base_fd, bool (*keep)(const char *name, void *userdata), void *userdata)
        _must_check_;
