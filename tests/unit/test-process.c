/* SPDX-License-Identifier: Apache-2.0 */
/* What every daemon does around its work: a child is one, and this side is its systemd. */
#include "tests/unit/test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "helper/server/process.h"

#define OWED_USEC (300 * KB_USEC_PER_MSEC)

/* The manager's end of sd_notify(3); *ret_name goes into NOTIFY_SOCKET. */
static int notify_socket(char ret_name[64])
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        struct timeval patience = {.tv_sec = 10};
        socklen_t size = sizeof(address);
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        assert_ok(fd);
        assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(sa_family_t)), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
        snprintf(ret_name, 64, "@%.*s", (int)(size - sizeof(sa_family_t) - 1), address.sun_path + 1);
        return fd;
}

static void assert_notified(int fd, const char *beginning)
{
        char message[256];
        ssize_t n = recv(fd, message, sizeof(message) - 1, 0);

        assert_ok(n);
        message[n] = '\0';
        assert_memory_equal(message, beginning, strlen(beginning));
}

/* --- the daemon --- */

static uint64_t done_at; /* when its last work is done; 0: work never ends */
static int tell = -1;    /* where it says that a hook was called */

static void say(const char *word)
{
        if (write(tell, word, 1) != 1)
                _exit(9);
}

static int on_done(sd_event_source *source, uint64_t now, void *userdata)
{
        return 0;
}

static void on_stop(void *userdata)
{
        say("s");
        done_at = kb_now_monotonic() + OWED_USEC;
        if (sd_event_add_time(userdata, NULL, CLOCK_MONOTONIC, done_at, 0, on_done, NULL) < 0)
                _exit(8);
}

static bool is_idle(void *userdata)
{
        return kb_now_monotonic() >= done_at;
}

static void on_reload(void *userdata)
{
        say("r");
}

static void be_a_daemon(const char *notify, bool with_hooks)
{
        struct kb_process_hooks hooks = {.stop = on_stop, .idle = is_idle, .reload = on_reload};
        sd_event *event;

        kb_process_harden();
        setenv("NOTIFY_SOCKET", notify, 1);
        if (sd_event_new(&event) < 0)
                _exit(7);
        hooks.userdata = event;
        if (kb_process_run(event, with_hooks ? &hooks : NULL) < 0)
                _exit(6);
        sd_event_unref(event);
        _exit(0);
}

static void assert_ended(pid_t pid)
{
        int status;

        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

static void a_stop_waits_for_what_is_owed(void **state)
{
        char name[64], byte;
        _cleanup_close_ int notify = notify_socket(name);
        int pipe_fds[2];
        uint64_t stopped;
        pid_t pid;

        assert_int_equal(pipe(pipe_fds), 0);
        pid = fork();
        assert_ok(pid);
        if (pid == 0) {
                tell = pipe_fds[1];
                be_a_daemon(name, true);
        }
        assert_notified(notify, "READY=1");
        assert_int_equal(kill(pid, SIGHUP), 0);
        assert_notified(notify, "RELOADING=1\nMONOTONIC_USEC=");
        assert_notified(notify, "READY=1");
        assert_int_equal(read(pipe_fds[0], &byte, 1), 1);
        assert_int_equal(byte, 'r');
        stopped = kb_now_monotonic();
        assert_int_equal(kill(pid, SIGTERM), 0);
        assert_notified(notify, "STOPPING=1");
        assert_int_equal(kill(pid, SIGTERM), 0); /* once more changes nothing */
        assert_ended(pid);
        assert_true(kb_now_monotonic() - stopped >= OWED_USEC);
        assert_int_equal(read(pipe_fds[0], &byte, 1), 1);
        assert_int_equal(byte, 's');
        close(pipe_fds[0]);
        close(pipe_fds[1]);
}

static void who_has_nothing_to_do_goes_at_once(void **state)
{
        char name[64];
        _cleanup_close_ int notify = notify_socket(name);
        pid_t pid = fork();

        assert_ok(pid);
        if (pid == 0)
                be_a_daemon(name, false);
        assert_notified(notify, "READY=1");
        assert_int_equal(kill(pid, SIGINT), 0);
        assert_notified(notify, "STOPPING=1");
        assert_ended(pid);
}

static void a_process_that_holds_secrets_is_hardened(void **state)
{
        pid_t pid = fork();

        assert_ok(pid);
        if (pid == 0) {
                struct rlimit core;

                kb_process_harden();
                if (getrlimit(RLIMIT_CORE, &core) < 0 || core.rlim_max != 0)
                        _exit(1);
                if (prctl(PR_GET_DUMPABLE) != 0)
                        _exit(2);
                if (umask(0) != 0077)
                        _exit(3);
                raise(SIGPIPE);
                raise(SIGTERM); /* blocked, until the loop takes it */
                _exit(0);
        }
        assert_ended(pid);
}

static void sockets_are_taken_by_name_and_once(void **state)
{
        pid_t pid = fork();

        assert_ok(pid);
        if (pid == 0) {
                char self[16];

                snprintf(self, sizeof(self), "%d", (int)getpid());
                setenv("LISTEN_PID", self, 1);
                setenv("LISTEN_FDS", "2", 1);
                setenv("LISTEN_FDNAMES", "root:auth", 1);
                if (dup2(STDOUT_FILENO, 3) != 3 || dup2(STDOUT_FILENO, 4) != 4)
                        _exit(1);
                if (kb_process_take_fd("auth") != 4 || kb_process_take_fd("auth") != -ENOENT)
                        _exit(2);
                if (kb_process_take_fd("plain") != -ENOENT || kb_process_take_fd("root") != 3)
                        _exit(3);
                if (getenv("LISTEN_FDS") || !(fcntl(3, F_GETFD) & FD_CLOEXEC))
                        _exit(4);
                _exit(0);
        }
        assert_ended(pid);
}

static void a_line_for_the_journal_has_its_level_in_front(void **state)
{
        int pipe_fds[2], before = dup(STDERR_FILENO);
        char line[64] = "";

        assert_int_equal(pipe(pipe_fds), 0);
        assert_ok(dup2(pipe_fds[1], STDERR_FILENO));
        errno = ENOENT;
        kb_process_log(LOG_WARNING, "%s: %m", "directory");
        assert_int_equal(errno, ENOENT);
        assert_ok(dup2(before, STDERR_FILENO));
        assert_ok(read(pipe_fds[0], line, sizeof(line) - 1));
        assert_string_equal(line, "<4>directory: No such file or directory\n");
        close(pipe_fds[0]);
        close(pipe_fds[1]);
        close(before);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_stop_waits_for_what_is_owed),
                cmocka_unit_test(who_has_nothing_to_do_goes_at_once),
                cmocka_unit_test(a_process_that_holds_secrets_is_hardened),
                cmocka_unit_test(sockets_are_taken_by_name_and_once),
                cmocka_unit_test(a_line_for_the_journal_has_its_level_in_front),
        };

        return cmocka_run_group_tests_name("process", tests, NULL, NULL);
}
