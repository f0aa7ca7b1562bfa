/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usage: request serve SOCKET SIZE
 *        request ask UNIT ID ROUNDS CALLS SOCKET...
 *        request once PAUSE UNIT SOCKET ID...
 *        request ready
 *
 * The road of one credential, as systemd asks for it: bind a name, connect, read to the end.
 *
 *   serve  the floor: answers everybody at once with so many bytes, and looks at nothing
 *   ask    lets sockets take turns; prints the median and the 95th percentile of each turn, in ns
 *   once   asks for each credential once, so many ms apart; prints how many bytes came, and after how many
 * ns ready  tells systemd that it is ready, and waits: what the start of any service costs
 */
#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define CALLS_MAX  10000
#define ANSWER_MAX 65536

static char answer[ANSWER_MAX];

static uint64_t now_nsec(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static struct sockaddr_un address_of(const char *path)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};

        if ((size_t)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path) >=
            sizeof(address.sun_path))
                errx(2, "%s: too long", path);
        return address;
}

static int serve(char **argv)
{
        struct sockaddr_un address = address_of(argv[0]);
        size_t size = strtoul(argv[1], NULL, 10);
        int listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        memset(answer, 'x', sizeof(answer));
        signal(SIGPIPE, SIG_IGN);
        (void)unlink(argv[0]);
        if (listening < 0 || bind(listening, (struct sockaddr *)&address, sizeof(address)) < 0 ||
            listen(listening, 1024) < 0)
                err(1, "%s", argv[0]);
        for (;;) {
                int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);

                if (fd < 0)
                        err(1, "accept");
                if (write(fd, answer, size) < 0)
                        warn("write");
                close(fd);
        }
}

/* Returns how many bytes came. */
static size_t ask(const char *unit, const char *id, const struct sockaddr_un *to)
{
        struct sockaddr_un name = {.sun_family = AF_UNIX};
        uint64_t random;
        size_t size = 0;
        ssize_t n;
        int length, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0 || getrandom(&random, sizeof(random), 0) != sizeof(random))
                err(1, "socket");
        length = snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1, "%llx/unit/%s/%s",
                          (unsigned long long)random, unit, id);
        if (length < 0 || (size_t)length >= sizeof(name.sun_path) - 1)
                errx(2, "%s/%s: too long", unit, id);
        if (bind(fd, (struct sockaddr *)&name,
                 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length)) < 0)
                err(1, "bind");
        if (connect(fd, (const struct sockaddr *)to, sizeof(*to)) < 0)
                err(1, "%s", to->sun_path);
        while ((n = read(fd, answer, sizeof(answer))) > 0)
                size += (size_t)n;
        if (n < 0)
                err(1, "read");
        close(fd);
        return size;
}

static int compare(const void *a, const void *b)
{
        uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

        return (x > y) - (x < y);
}

static void take_turn(const char *unit, const char *id, unsigned calls, const char *path)
{
        static uint64_t nsec[CALLS_MAX];
        struct sockaddr_un to = address_of(path);

        for (unsigned i = 0; i < calls; i++) {
                uint64_t begun = now_nsec();

                if (ask(unit, id, &to) == 0)
                        errx(1, "%s: an empty answer", path);
                nsec[i] = now_nsec() - begun;
        }
        qsort(nsec, calls, sizeof(nsec[0]), compare);
        printf("%s %llu %llu\n", path, (unsigned long long)nsec[calls / 2],
               (unsigned long long)nsec[calls * 95 / 100]);
        fflush(stdout);
}

static int ask_in_turns(int argc, char **argv)
{
        unsigned long rounds = strtoul(argv[2], NULL, 10), calls = strtoul(argv[3], NULL, 10);

        if (calls < 1 || calls > CALLS_MAX)
                errx(2, "%s: 1 to %d calls a turn", argv[3], CALLS_MAX);
        for (unsigned long round = 0; round < rounds; round++)
                for (int i = 4; i < argc; i++)
                        take_turn(argv[0], argv[1], (unsigned)calls, argv[i]);
        return 0;
}

static int ask_once(int argc, char **argv)
{
        struct sockaddr_un to = address_of(argv[2]);
        useconds_t pause_usec = (useconds_t)strtoul(argv[0], NULL, 10) * 1000;

        for (int i = 3; i < argc; i++) {
                uint64_t begun = now_nsec();
                size_t size = ask(argv[1], argv[i], &to);

                printf("%zu %llu\n", size, (unsigned long long)(now_nsec() - begun));
                fflush(stdout);
                usleep(pause_usec);
        }
        return 0;
}

static int be_ready(void)
{
        struct sockaddr_un to = address_of(getenv("NOTIFY_SOCKET") ?: "");
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        if (fd < 0 || sendto(fd, "READY=1", 7, 0, (struct sockaddr *)&to, sizeof(to)) < 0)
                err(1, "%s", to.sun_path);
        pause();
        return 0;
}

int main(int argc, char **argv)
{
        const char *what = argc > 1 ? argv[1] : "";

        if (strcmp(what, "serve") == 0 && argc == 4)
                return serve(argv + 2);
        if (strcmp(what, "ask") == 0 && argc >= 7)
                return ask_in_turns(argc - 2, argv + 2);
        if (strcmp(what, "once") == 0 && argc >= 6)
                return ask_once(argc - 2, argv + 2);
        if (strcmp(what, "ready") == 0 && argc == 2)
                return be_ready();
        errx(2, "usage: see the head of its source");
}
