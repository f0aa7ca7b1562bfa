/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Name service: what a call costs through glibc, with our module and with one that answers a constant. Both
 * take turns in one run, each turn in a process of its own; the least of all turns is what counts on a
 * machine with neighbours. 10,000 people, each in a group of everybody; names take turns too, so caches are
 * not too kind.
 */
#include "tests/unit/directory.h"
#include "tests/unit/folder.h"

#include <dlfcn.h>
#include <err.h>
#include <errno.h>
#include <grp.h>
#include <linux/perf_event.h>
#include <pwd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "directory/nss_publish.h"

#define PEOPLE 10000
#define TURNS  9

int __nss_configure_lookup(const char *db, const char *service_line);

static char names[PEOPLE][12], nobodies[PEOPLE][12];

/* --- what is measured: one call each; returns whether the answer was right --- */

static bool person_by_name(unsigned i)
{
        struct passwd pwd, *result;
        char buffer[1024];

        return getpwnam_r(names[i % PEOPLE], &pwd, buffer, sizeof(buffer), &result) == 0 && result;
}

static bool person_by_id(unsigned i)
{
        struct passwd pwd, *result;
        char buffer[1024];

        return getpwuid_r(KB_ID_MIN_DEFAULT + i % PEOPLE, &pwd, buffer, sizeof(buffer), &result) == 0 &&
               result;
}

static bool nobody_by_name(unsigned i)
{
        struct passwd pwd, *result;
        char buffer[1024];

        return getpwnam_r(nobodies[i % PEOPLE], &pwd, buffer, sizeof(buffer), &result) == 0 && !result;
}

static bool group_by_name(unsigned i)
{
        struct group grp, *result;
        char buffer[1024];

        return getgrnam_r(names[i % PEOPLE], &grp, buffer, sizeof(buffer), &result) == 0 && result;
}

static bool groups_of_person(unsigned i)
{
        gid_t groups[16];
        int n = KB_ARRAY_SIZE(groups);

        return getgrouplist(names[i % PEOPLE], 1, groups, &n) == 2;
}

static bool group_of_everybody(unsigned i)
{
        static char buffer[256 * 1024];
        struct group grp, *result;

        return getgrnam_r("everybody", &grp, buffer, sizeof(buffer), &result) == 0 && result;
}

static bool stat_of_configuration(unsigned i)
{
        struct stat st;

        return stat("/etc/nsswitch.conf", &st) == 0 || errno == ENOENT;
}

static const struct {
        const char *name;
        bool (*call)(unsigned i);
        unsigned calls;
        bool floor; /* the constant module can do it too */
} rows[] = {
        {"stat of nsswitch.conf", stat_of_configuration, 20000, false},
        {"getpwnam_r", person_by_name, 20000, true},
        {"getpwuid_r", person_by_id, 20000, true},
        {"getpwnam_r, nobody", nobody_by_name, 20000, true},
        {"getgrnam_r, own group", group_by_name, 20000, true},
        {"getgrouplist", groups_of_person, 20000, true},
        {"getgrnam_r, 10,000 members", group_of_everybody, 500, false},
};

struct figure {
        double nsec;
        double instructions; /* in user space; 0: this machine does not count them */
};

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

static struct figure measure(size_t row)
{
        _cleanup_close_ int counter = open_counter();
        struct figure figure = {};
        uint64_t start, count = 0;

        for (unsigned i = 0; i < rows[row].calls; i++) /* warm */
                if (!rows[row].call(i))
                        errx(EXIT_FAILURE, "%s: wrong answer", rows[row].name);
        if (counter >= 0)
                ioctl(counter, PERF_EVENT_IOC_RESET, 0);
        start = kb_now_monotonic();
        for (unsigned i = 0; i < rows[row].calls; i++)
                (void)rows[row].call(i);
        figure.nsec = (double)(kb_now_monotonic() - start) * 1000 / rows[row].calls;
        if (counter >= 0 && read(counter, &count, sizeof(count)) == sizeof(count))
                figure.instructions = (double)count / rows[row].calls;
        return figure;
}

/* In a process of its own, since glibc reads its configuration once. */
static struct figure take_turn(const char *source, size_t row)
{
        struct figure figure = {};
        int ends[2], status;
        pid_t child;

        if (pipe(ends) < 0)
                err(EXIT_FAILURE, "pipe");
        child = fork();
        if (child < 0)
                err(EXIT_FAILURE, "fork");
        if (child == 0) {
                __nss_configure_lookup("passwd", source);
                __nss_configure_lookup("group", source);
                __nss_configure_lookup("initgroups", source);
                figure = measure(row);
                _exit(write(ends[1], &figure, sizeof(figure)) == sizeof(figure) ? 0 : 1);
        }
        close(ends[1]);
        if (read(ends[0], &figure, sizeof(figure)) != sizeof(figure))
                errx(EXIT_FAILURE, "%s: no figure", source);
        close(ends[0]);
        waitpid(child, &status, 0);
        return figure;
}

static void keep_least(struct figure *least, struct figure figure)
{
        if (least->nsec == 0 || figure.nsec < least->nsec)
                *least = figure;
}

/* Returns what it printed as ours. stat_nsec is 0 while that is what is being measured. */
static double print_row(size_t row, double stat_nsec)
{
        struct figure ours = {}, constant = {};

        for (unsigned turn = 0; turn < TURNS; turn++) {
                keep_least(&ours, take_turn("keybearer", row));
                if (rows[row].floor)
                        keep_least(&constant, take_turn("constant", row));
        }
        printf("%-28s %9.0f ns", rows[row].name, ours.nsec);
        if (rows[row].floor)
                printf(" %9.0f ns %7.2f %9.2f", constant.nsec, ours.nsec / constant.nsec,
                       (ours.nsec + stat_nsec) / (constant.nsec + stat_nsec));
        else
                printf(" %12s %7s %9s", "-", "-", "-");
        if (ours.instructions > 0)
                printf(" %14.0f %14.0f", ours.instructions, constant.instructions);
        printf("\n");
        return ours.nsec;
}

/* --- */

static void load(const char *module)
{
        const char *build = getenv("top_builddir");
        char path[512];

        snprintf(path, sizeof(path), "%s/tests/%s", build ? build : ".", module);
        if (!dlopen(path, RTLD_NOW | RTLD_GLOBAL))
                errx(EXIT_FAILURE, "%s", dlerror());
}

static void publish(void)
{
        _cleanup_(kb_directory_freep) struct kb_directory *d = NULL;
        _cleanup_close_ int folder = open(test_folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        make_crowd(&d, PEOPLE);
        if (kb_nss_publish(folder, d) < 0)
                errx(EXIT_FAILURE, "cannot publish in %s", test_folder);
        for (unsigned i = 0; i < PEOPLE; i++) {
                unsigned other = i * 7919 % PEOPLE; /* not in the order of the file */

                snprintf(names[i], sizeof(names[i]), "u%06u", other);
                snprintf(nobodies[i], sizeof(nobodies[i]), "v%06u", other);
        }
}

int main(void)
{
        double stat_nsec;

        if (test_folder_make(NULL) < 0)
                err(EXIT_FAILURE, "%s", test_folder);
        setenv("KEYBEARER_TEST_DIR", test_folder, 1);
        load("module/libnss_keybearer.so.2");
        load("bench/libnss_constant.so.2");
        publish();
        printf("%-28s %12s %12s %7s %9s %14s %14s\n", "10,000 people, per call", "keybearer", "constant",
               "ratio", "as called", "instructions", "of constant");
        stat_nsec = print_row(0, 0);
        for (size_t row = 1; row < KB_ARRAY_SIZE(rows); row++)
                print_row(row, stat_nsec);
        test_folder_remove(NULL);
        return EXIT_SUCCESS;
}
