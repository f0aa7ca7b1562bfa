/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/local/swap.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "helper/store/local/db.h"

/* What an old database leaves behind, and what that is called while it is laid aside. Of the index of the
 * log (-shm) nothing is lost: it is made from the log. */
static const struct {
        const char *name, *aside;
} sides[] = {
        {KB_DB_FILE "-wal", "replaced.db-wal"},
        {KB_DB_FILE "-journal", "replaced.db-journal"},
};

static int open_folder(const char *folder)
{
        int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        return fd < 0 ? -errno : fd;
}

static int sync_folder(int fd)
{
        return fsync(fd) < 0 ? -errno : 0;
}

static bool is_there(int fd, const char *name)
{
        return faccessat(fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static int remove_file(int fd, const char *name)
{
        return unlinkat(fd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

static int move(int fd, const char *from, const char *to)
{
        return renameat(fd, from, fd, to) < 0 && errno != ENOENT ? -errno : 0;
}

static int drop_aside(int fd)
{
        int r = 0;

        for (size_t i = 0; r >= 0 && i < KB_ARRAY_SIZE(sides); i++)
                r = remove_file(fd, sides[i].aside);
        return r;
}

int kb_swap(const char *folder)
{
        _cleanup_close_ int fd = open_folder(folder);
        int r = fd < 0 ? fd
                       : sync_folder(fd); /* the new one is there for good, before the old one changes */

        if (r >= 0 && is_there(fd, KB_SWAP_FILE "-wal"))
                r = -EUCLEAN; /* it was not closed as it should be: a part of it is in there */
        for (size_t i = 0; r >= 0 && i < KB_ARRAY_SIZE(sides); i++)
                r = move(fd, sides[i].name, sides[i].aside);
        if (r >= 0)
                r = remove_file(fd, KB_DB_FILE "-shm");
        if (r >= 0)
                r = sync_folder(fd);
        if (r >= 0 && renameat(fd, KB_SWAP_FILE, fd, KB_DB_FILE) < 0)
                r = -errno;
        if (r >= 0)
                r = sync_folder(fd);
        return r < 0 ? r : drop_aside(fd);
}

/* The new one was not put in its place: the old one gets back what is its own. */
static int put_back(int fd)
{
        int r = 0;

        for (size_t i = 0; r >= 0 && i < KB_ARRAY_SIZE(sides); i++)
                r = move(fd, sides[i].aside, sides[i].name);
        return r < 0 ? r : sync_folder(fd);
}

int kb_swap_mend(const char *folder)
{
        _cleanup_close_ int fd = open_folder(folder);
        bool interrupted = false;

        if (fd < 0)
                return fd;
        for (size_t i = 0; i < KB_ARRAY_SIZE(sides); i++)
                interrupted |= is_there(fd, sides[i].aside);
        if (!interrupted)
                return 0;
        return is_there(fd, KB_SWAP_FILE) ? put_back(fd) : drop_aside(fd);
}

int kb_swap_drop(const char *folder)
{
        static const char *const names[] = {KB_SWAP_FILE, KB_SWAP_FILE "-wal", KB_SWAP_FILE "-shm",
                                            KB_SWAP_FILE "-journal"};
        _cleanup_close_ int fd = open_folder(folder);
        int r = fd < 0 ? fd : kb_swap_mend(folder); /* which looks whether it is there */

        for (size_t i = 0; r >= 0 && i < KB_ARRAY_SIZE(names); i++)
                r = remove_file(fd, names[i]);
        return r;
}
