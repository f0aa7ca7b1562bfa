/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usage: nss publish FOLDER
 *        nss measure ROW CALLS
 *
 * Name service: what a call costs through glibc, in a warm process. 10,000 people, each in a group of
 * everybody; names take turns, so caches are not too kind.
 *
 *   publish  writes these people as our file of names
 *   measure  prints nanoseconds per call, and instructions in user space or 0 where nobody counts them.
 *            Who is asked stands in nsswitch.conf: a program that chooses for itself spares glibc the look
 * at that file which is in every call of everybody else.
 */
#include "tests/unit/directory.h"

#include <err.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/perf_event.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "directory/nss_publish.h"

#define PEOPLE 10000
#define NAMES  2000 /* of them, that are asked for: every fifth, and not in the order of the file */

static char names[NAMES][12], nobodies[NAMES][12];
static uid_t ids[NAMES];

/* --- what is measured: one call each; returns whether the answer was right --- */

static bool person_by_name(unsigned i)
{
        struct passwd pwd, *result;
        char buffer[1024];

        return getpwnam_r(names[i % NAMES], &pwd, buffer, sizeof(buffer), &result) == 0 && result;
}

static bool person_by_id(unsigned i)
{
        struct passwd pwd, *result;
        char buffer[1024];

        return getpwuid_r(ids[i % NAMES], &pwd, buffer, sizeof(buffer), &result) == 0 && result;
}

static bool nobody_by_name(unsigned i)
{
        struct passwd pwd, *result;
        char buffer[1024];

        return getpwnam_r(nobodies[i % NAMES], &pwd, buffer, sizeof(buffer), &result) == 0 && !result;
}

/* A name that was never asked for before. */
static bool new_nobody_by_name(unsigned i)
{
        struct passwd pwd, *result;
        static unsigned number;
        char buffer[1024], name[32];

        snprintf(name, sizeof(name), "w%d-%u", getpid(), number++);
        return getpwnam_r(name, &pwd, buffer, sizeof(buffer), &result) == 0 && !result;
}

static bool group_by_name(unsigned i)
{
        struct group grp, *result;
        char buffer[1024];

        return getgrnam_r(names[i % NAMES], &grp, buffer, sizeof(buffer), &result) == 0 && result;
}

static bool groups_of_person(unsigned i)
{
        gid_t groups[16];
        int n = KB_ARRAY_SIZE(groups);

        return getgrouplist(names[i % NAMES], 1, groups, &n) == 2;
}

static bool group_of_everybody(unsigned i)
{
        static char buffer[256 * 1024];
        struct group grp, *result;

        return getgrnam_r("everybody", &grp, buffer, sizeof(buffer), &result) == 0 && result;
}

static const struct {
        const char *name;
        bool (*call)(unsigned i);
} rows[] = {
        {"person-by-name", person_by_name},
        {"person-by-id", person_by_id},
        {"nobody", nobody_by_name},
        {"new-nobody", new_nobody_by_name},

        {"group-by-name", group_by_name},
        {"groups-of-person", groups_of_person},
        {"group-of-everybody", group_of_everybody},
};

static void name_them(void)
{
        for (unsigned i = 0; i < NAMES; i++) {
                unsigned other = i * 7919 % PEOPLE;

                snprintf(names[i], sizeof(names[i]), "u%06u", other);
                snprintf(nobodies[i], sizeof(nobodies[i]), "v%06u", other);
                ids[i] = KB_ID_MIN_DEFAULT + other;
        }
}

/* --- measuring --- */

static int open_counter(void)
{
        struct perf_event_attr attr = {
                .type = PERF_TYPE_HARDWARE,
                .size = sizeof(attr),
                .config = PERF_COUNT_HW_INSTRUCTIONS,
                .exclude_kernel = 1,
                .exclude_hv = 1,
        };

        return (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
}

static void measure(size_t row, unsigned calls)
{
        _cleanup_close_ int counter = open_counter();
        uint64_t start, count = 0;
        double nsec;

        for (unsigned i = 0; i < calls; i++) /* warm */
                if (!rows[row].call(i))
                        errx(1, "%s: wrong answer", rows[row].name);
        if (counter >= 0)
                ioctl(counter, PERF_EVENT_IOC_RESET, 0);
        start = kb_now_monotonic();
        for (unsigned i = 0; i < calls; i++)
                (void)rows[row].call(i);
        nsec = (double)(kb_now_monotonic() - start) * 1000 / calls;
        if (counter >= 0 && read(counter, &count, sizeof(count)) != sizeof(count))
                count = 0;
        printf("%.1f %.1f\n", nsec, (double)count / calls);
}

static void publish(const char *folder)
{
        _cleanup_(kb_directory_freep) struct kb_directory *d = NULL;
        _cleanup_close_ int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        make_crowd(&d, PEOPLE);
        if (fd < 0 || kb_nss_publish(fd, d) < 0)
                errx(1, "cannot publish in %s", folder);
}

int main(int argc, char **argv)
{
        if (argc == 3 && strcmp(argv[1], "publish") == 0) {
                publish(argv[2]);
                return 0;
        }
        if (argc != 4 || strcmp(argv[1], "measure") != 0)
                errx(2, "usage: see the head of its source");
        name_them();
        for (size_t row = 0; row < KB_ARRAY_SIZE(rows); row++)
                if (strcmp(rows[row].name, argv[2]) == 0) {
                        measure(row, (unsigned)strtoul(argv[3], NULL, 10));
                        return 0;
                }
        errx(2, "no row %s", argv[2]);
}
