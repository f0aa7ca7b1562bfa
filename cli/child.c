/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"

#define PROGRAM     KB_LIBEXECDIR "/keybearer-store-vault"
#define ASK_USEC    (60 * KB_USEC_PER_SEC)
#define FIRST_FD    3             /* sd_listen_fds(3) */
#define FINGERPRINT "fingerprint" /* what the program writes into its folder */

static int listen_at(const char *path)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (snprintf(address.sun_path, sizeof(address.sun_path), "%s", path) >=
            (int)sizeof(address.sun_path))
                return -ENAMETOOLONG;
        if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 8) < 0)
                return -errno;
        return take_fd(fd);
}

/*
 * As systemd would start it, without a journal: what is of use to its caller is in its answers. Nothing of a
 * secret is in argv or environment: the settings name a file.
 */
static _Noreturn void become(int listening, const char *folder, const char *settings)
{
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        char pid[24];

        if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 ||
            dup2(null, STDERR_FILENO) < 0)
                _exit(127);

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        snprintf(pid, sizeof(pid), "%ld", (long)getpid());
        if (listening == FIRST_FD)
                fcntl(listening, F_SETFD, 0);
        else if (dup2(listening, FIRST_FD) < 0)
                _exit(127);
        setenv("LISTEN_PID", pid, 1);
        setenv("LISTEN_FDS", "1", 1);
        setenv("LISTEN_FDNAMES", "store", 1);
        setenv("STATE_DIRECTORY", folder, 1);
        unsetenv("NOTIFY_SOCKET");
        unsetenv("CREDENTIALS_DIRECTORY");
        execl(PROGRAM, PROGRAM, "--user", settings, (char *)NULL);
        _exit(127);
}

int cli_child_ask(const struct cli *cli, const struct cli_child *child, struct kb_call *call)
{
        int r = kb_call_run(call, child->socket, kb_time_add(kb_now_monotonic(), ASK_USEC));

        if (r < 0)
                return cli_fail(cli, KB_E_UNREACHABLE, "%s does not answer: %s", PROGRAM, strerror(-r));
        return call->status == KB_E_OK ? 0 : cli_fail(cli, call->status, "%s", call->text);
}

static int greet(const struct cli *cli, const struct cli_child *child)
{
        _cleanup_call_ struct kb_call call = kb_call_init(KB_VERB_hello);
        struct kb_hello_reply reply;
        int r;

        kb_hello_request_put(&call.request, &(struct kb_hello_request){.broker = PACKAGE_VERSION});
        r = cli_child_ask(cli, child, &call);
        if (r != 0)
                return r;
        if (kb_hello_reply_get(call.reply.body, &reply) < 0)
                return cli_fail(cli, KB_E_INTERNAL, "the answer of %s makes no sense", PROGRAM);
        return reply.refusal == KB_E_OK ? 0 : cli_fail(cli, reply.refusal, "%s", reply.problem);
}

int cli_child_start(const struct cli *cli, const char *settings, struct cli_child *ret)
{
        _cleanup_child_ struct cli_child child = {.folder = cli_format("/tmp/keybearer.XXXXXX")};
        _cleanup_free_ char *path = realpath(settings, NULL);
        _cleanup_close_ int listening = -1;
        int r;

        if (!path)
                return cli_fail(cli, KB_E_NOT_FOUND, "%s: %s", settings, strerror(errno));
        if (!mkdtemp(child.folder)) {
                child.folder[0] = '\0';
                return cli_fail(cli, KB_E_STORAGE, "/tmp: %s", strerror(errno));
        }
        child.socket = cli_format("%s/socket", child.folder);
        listening = listen_at(child.socket);
        if (listening < 0)
                return cli_fail(cli, KB_E_INTERNAL, "%s: %s", child.socket, strerror(-listening));
        fflush(NULL);
        child.pid = fork();
        if (child.pid == 0)
                become(listening, child.folder, path);
        if (child.pid < 0)
                return cli_fail(cli, KB_E_INTERNAL, "%s cannot be started: %s", PROGRAM, strerror(errno));
        kb_closep(&listening); /* when the child is gone, nobody listens */
        listening = -1;
        r = greet(cli, &child);
        if (r != 0)
                return r;
        *ret = child;
        child = (struct cli_child){0};
        return 0;
}

void cli_child_done(struct cli_child *child)
{
        _cleanup_free_ char *file = child->folder ? cli_format("%s/" FINGERPRINT, child->folder) : NULL;

        if (child->pid > 0) {
                kill(child->pid, SIGTERM);
                while (waitpid(child->pid, NULL, 0) < 0 && errno == EINTR)
                        ;
        }
        if (child->socket)
                unlink(child->socket);
        if (file)
                unlink(file);
        if (child->folder)
                rmdir(child->folder);
        free(child->socket);
        free(child->folder);
        *child = (struct cli_child){0};
}
