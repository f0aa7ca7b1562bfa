/* SPDX-License-Identifier: Apache-2.0 */
#include "directory/nss_publish.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "common/file.h"
#include "directory/nss_file.h"
#include "directory/nss_image.h"

/*
 * On a file that root alone can open: whoever can open a file can lock it, and the folder is everybody's to
 * open. Never waited for: the broker has other things to do, and tries again.
 */
static int lock_folder(int folder_fd)
{
        _cleanup_close_ int fd =
                openat(folder_fd, KB_NSS_LOCK_FILE, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

        if (fd < 0 || fchmod(fd, 0600) < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
                return -errno;
        return take_fd(fd);
}

static int open_generation(int folder_fd)
{
        int fd = openat(folder_fd, KB_NSS_GENERATION_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);

        return fd < 0 ? -errno : fd;
}

/* Made on first use, with the number 0. One that is too short never was of use to anybody. */
static int map_generation(int folder_fd, _Atomic uint64_t **ret)
{
        _cleanup_close_ int fd = open_generation(folder_fd);
        struct stat st;
        void *p;

        if (fd < 0)
                return fd;
        if (fstat(fd, &st) < 0 || fchmod(fd, 0644) < 0 || (st.st_size < 8 && ftruncate(fd, 8) < 0))
                return -errno;
        p = mmap(NULL, 8, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (p == MAP_FAILED)
                return -errno;
        *ret = p;
        return 0;
}

/* The one in the folder, or a new one where that is retired: nobody looks at it any more. */
static int map_current_generation(int folder_fd, _Atomic uint64_t **ret)
{
        _Atomic uint64_t *generation;
        int r = map_generation(folder_fd, &generation);

        if (r >= 0 && atomic_load(generation) == KB_NSS_RETIRED) {
                munmap(generation, 8);
                if (unlinkat(folder_fd, KB_NSS_GENERATION_FILE, 0) < 0)
                        return -errno;
                r = map_generation(folder_fd, &generation);
        }
        if (r >= 0)
                *ret = generation;
        return r;
}

int kb_nss_publish(int folder_fd, const struct kb_directory *directory)
{
        _cleanup_close_ int lock_fd = lock_folder(folder_fd);
        _cleanup_free_ uint8_t *data = NULL;
        _Atomic uint64_t *generation;
        uint64_t number;
        size_t size;
        int r;

        if (lock_fd < 0)
                return lock_fd;
        r = map_current_generation(folder_fd, &generation);
        if (r < 0)
                return r;
        number = le64toh(atomic_load(generation)) + 1;
        r = kb_nss_image(directory, number, &data, &size);
        if (r >= 0)
                r = kb_file_write_at(folder_fd, KB_NSS_USERS_FILE, KB_SPAN(data, size), 0644);
        if (r >= 0)
                atomic_store(generation, htole64(number));
        munmap(generation, 8);
        return r;
}

int kb_nss_publish_empty(int folder_fd, struct kb_id_range range)
{
        _cleanup_(kb_directory_freep) struct kb_directory *empty = NULL;
        int r = kb_directory_new_empty(&empty, range);

        return r < 0 ? r : kb_nss_publish(folder_fd, empty);
}
