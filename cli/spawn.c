/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOT_RUN 127 /* as a shell says it */

static _Noreturn void become(char *const argv[], int in, int out)
{
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        signal(SIGPIPE, SIG_DFL);
        if (dup2(in >= 0 ? in : null, STDIN_FILENO) < 0 || dup2(out >= 0 ? out : null, STDOUT_FILENO) < 0 ||
            dup2(STDOUT_FILENO, STDERR_FILENO) < 0)
                _exit(NOT_RUN);
        execvp(argv[0], argv);
        _exit(NOT_RUN);
}

static void feed(int fd, struct kb_span input)
{
        while (input.size > 0) {
                ssize_t n = write(fd, input.data, input.size);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0) /* it did not want it: its exit status tells */
                        return;
                input = KB_SPAN(input.data + n, input.size - (size_t)n);
        }
}

/* Everything until its end, of which size - 1 bytes are kept. */
static void drain(int fd, char *output, size_t size)
{
        char rest[512];
        size_t have = 0;

        for (;;) {
                bool full = have + 1 >= size;
                ssize_t n = read(fd, full ? rest : output + have, full ? sizeof(rest) : size - 1 - have);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        break;
                have += full ? 0 : (size_t)n;
        }
        output[have] = '\0';
}

static int wait_for(pid_t pid)
{
        int status;

        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return -errno;
        if (WIFSIGNALED(status))
                return 128 + WTERMSIG(status);
        return WEXITSTATUS(status) == NOT_RUN ? -ENOENT : WEXITSTATUS(status);
}

int cli_spawn(char *const argv[], struct kb_span input, char *output, size_t size)
{
        int in[2] = {-1, -1}, out[2] = {-1, -1};
        pid_t pid;

        if (input.data && pipe2(in, O_CLOEXEC) < 0)
                return -errno;
        if (output && pipe2(out, O_CLOEXEC) < 0) {
                kb_closep(&in[0]);
                kb_closep(&in[1]);
                return -errno;
        }
        pid = fork();
        if (pid == 0)
                become(argv, in[0], out[1]);
        kb_closep(&in[0]);
        kb_closep(&out[1]);
        if (pid > 0 && input.data)
                feed(in[1], input);
        kb_closep(&in[1]);
        if (pid > 0 && output)
                drain(out[0], output, size);
        kb_closep(&out[0]);
        return pid < 0 ? -EAGAIN : wait_for(pid);
}

int cli_systemctl(const char *verb, const char *unit)
{
        char *argv[] = {(char[]){"systemctl"}, (char *)(uintptr_t)verb, (char *)(uintptr_t)unit, NULL};

        return cli_spawn(argv, KB_SPAN(NULL, 0), NULL, 0);
}
