/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "common/file.h"

char *cli_file_read(const char *path)
{
        _cleanup_fclose_ FILE *f = fopen(path, "re");
        char *text = NULL;
        size_t size = 0;

        if (!f)
                return errno == ENOENT ? strdup("") : NULL;
        if (getdelim(&text, &size, '\0', f) < 0) { /* text files hold no NUL: this is all of it */
                free(text);
                return ferror(f) ? NULL : strdup("");
        }
        return text;
}

static int make_folders(const char *path)
{
        _cleanup_free_ char *folder = strdup(path);

        if (!folder)
                return -ENOMEM;
        for (char *slash = strchr(folder + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
                *slash = '\0';
                if (mkdir(folder, 0755) < 0 && errno != EEXIST)
                        return -errno;
                *slash = '/';
        }
        return 0;
}

/* Whether the file is these bytes already. A file that cannot be read is not. */
static bool holds(const char *path, const void *bytes, size_t size)
{
        _cleanup_fclose_ FILE *f = fopen(path, "re");
        _cleanup_free_ char *have = malloc(size + 1);

        return f && have && fread(have, 1, size + 1, f) == size && memcmp(have, bytes, size) == 0;
}

int cli_file_write(const char *path, const void *bytes, size_t size, mode_t mode)
{
        _cleanup_free_ char *temporary = cli_format("%s.XXXXXX", path);
        _cleanup_close_ int fd = -1;
        int r;

        if (holds(path, bytes, size))
                return 0;
        r = make_folders(path);
        if (r < 0)
                return r;
        fd = mkostemp(temporary, O_CLOEXEC);
        if (fd < 0)
                return -errno;
        r = fchmod(fd, mode) < 0 ? -errno : kb_file_write_all(fd, KB_SPAN(bytes, size));
        if (r == 0 && (fsync(fd) < 0 || rename(temporary, path) < 0))
                r = -errno;
        if (r < 0)
                unlink(temporary);
        return r < 0 ? r : 1;
}

int cli_file_remove(const char *path)
{
        if (unlink(path) == 0)
                return 1;
        return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
}
