/* SPDX-License-Identifier: Apache-2.0 */
/* keybearer doctor: units, files and settings. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "cli/doctor.h"
#include "cli/settings.h"
#include "cli/spawn.h"
#include "directory/nss_file.h"
#include "directory/nss_view.h"
#include "helper/config/store.h"

#define RAMFS 0x858458f6 /* statfs(2) */

/* --- units --- */

char *doctor_unit_is_off(const struct doctor *d, const struct doctor_check *check, struct doctor_cure *cure)
{
        if (cli_systemctl("is-active", check->about) != 0)
                return cli_format("%s is not running", check->about);
        return NULL;
}

char *doctor_unit_is_disabled(const struct doctor *d, const struct doctor_check *check,
                              struct doctor_cure *cure)
{
        if (cli_systemctl("is-enabled", check->about) != 0)
                return cli_format("%s would not be started at the next boot", check->about);
        return NULL;
}

/* --- files --- */

static char *not_root_only(const char *path, mode_t wanted)
{
        struct stat st;

        if (lstat(path, &st) < 0)
                return cli_format("%s: %s", path, strerror(errno));
        if (st.st_uid != 0)
                return cli_format("%s belongs to uid %u", path, (unsigned)st.st_uid);
        if ((st.st_mode & 07777) != wanted)
                return cli_format("%s has mode %04o instead of %04o", path, (unsigned)(st.st_mode & 07777),
                                  (unsigned)wanted);
        return NULL;
}

char *doctor_is_not_private(const struct doctor *d, const struct doctor_check *check,
                            struct doctor_cure *cure)
{
        return not_root_only(check->about, 0700);
}

char *doctor_is_not_public(const struct doctor *d, const struct doctor_check *check,
                           struct doctor_cure *cure)
{
        return not_root_only(check->about, 0755);
}

char *doctor_is_swappable(const struct doctor *d, const struct doctor_check *check, struct doctor_cure *cure)
{
        struct statfs fs;

        if (statfs(check->about, &fs) < 0)
                return cli_format("%s: %s", check->about, strerror(errno));
        return fs.f_type == RAMFS
                       ? NULL
                       : cli_format("%s is no ramfs: keys in it could be swapped out", check->about);
}

/* Whether what everybody's look-ups read is whole. 0 or a negative errno. */
static int look_at_names(const char *path)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        struct kb_nss_view view;
        struct stat st;
        void *p;
        int r;

        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) || st.st_size == 0)
                return -EBADMSG;
        p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (p == MAP_FAILED)
                return -errno;
        r = kb_nss_view_init(&view, KB_SPAN(p, (size_t)st.st_size));
        if (r == 0 && !kb_nss_view_intact(&view))
                r = -EBADMSG;
        munmap(p, (size_t)st.st_size);
        return r;
}

/* about: the folder. Look-ups need both files; a writer that a full disk stopped leaves the number alone. */
char *doctor_has_no_names(const struct doctor *d, const struct doctor_check *check, struct doctor_cure *cure)
{
        _cleanup_free_ char *number = cli_format("%s/" KB_NSS_GENERATION_FILE, check->about),
                            *users = cli_format("%s/" KB_NSS_USERS_FILE, check->about);
        int r;

        if (access(number, F_OK) < 0)
                return cli_format("%s: %s", number, strerror(errno));
        r = look_at_names(users);
        if (r == -EBADMSG)
                return cli_format("%s is damaged", users);
        return r < 0 ? cli_format("%s: %s", users, strerror(-r)) : NULL;
}

char *doctor_settings_are_wrong(const struct doctor *d, const struct doctor_check *check,
                                struct doctor_cure *cure)
{
        _cleanup_problems_ struct kb_problems problems = {0};
        struct cli_settings_count count;
        const char *file;
        char *first;

        if (cli_check_settings(d->cli, &problems, &count) == 0)
                return NULL;
        if (problems.count == 0)
                return cli_format("the settings cannot be read");
        file = problems.problems[0].file;
        if (file)
                cure->about = cli_format("%s", file);
        if (file && strncmp(file, KB_STORES_FOLDER "/", strlen(KB_STORES_FOLDER "/")) == 0)
                cure->command =
                        "${EDITOR:-editor} %s && systemctl try-restart 'keybearer-store-vault@*.service'";
        first = kb_problem_format(&problems.problems[0]);
        return first ? first : cli_format("the settings cannot be read");
}

/* --- revocation lists --- */

static int list_time_left(const char *path)
{
        FILE *file = fopen(path, "re");
        X509_CRL *crl = file ? PEM_read_X509_CRL(file, NULL, NULL, NULL) : NULL;
        const ASN1_TIME *end = crl ? X509_CRL_get0_nextUpdate(crl) : NULL;
        int left = end ? X509_cmp_current_time(end) : 0; /* 0: it cannot be read */

        X509_CRL_free(crl);
        if (file)
                fclose(file);
        return left;
}

/* Whoever checks certificates refuses them all once the list is older than it says itself. */
char *doctor_list_is_old(const struct doctor *d, const struct doctor_check *check, struct doctor_cure *cure)
{
        DIR *folder = opendir(check->about);
        char *cause = folder ? NULL : cli_format("%s: %s", check->about, strerror(errno));
        struct dirent *entry;

        while (folder && !cause && (entry = readdir(folder))) {
                _cleanup_free_ char *path = cli_format("%s/%s", check->about, entry->d_name);
                const char *ending = strrchr(entry->d_name, '.');
                int left = ending && strcmp(ending, ".crl") == 0 ? list_time_left(path) : 1;

                if (left <= 0)
                        cause = cli_format(left < 0 ? "%s is older than it may be" : "%s cannot be read",
                                           path);
        }
        if (folder)
                closedir(folder);
        return cause;
}
