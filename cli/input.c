/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/input.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

enum { CTRL_C = 3, CTRL_D = 4, BACKSPACE = 8, CTRL_U = 21, DELETE = 127 };

/*
 * Keys make no signals while we read them; other processes do. They end the reading, and end us only when
 * the terminal is right again. Outside of ppoll() they wait, so that none can come just before it.
 */
static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP};
static volatile sig_atomic_t caught;

struct caught_signals {
        struct sigaction before[KB_ARRAY_SIZE(signals)];
        sigset_t mask;
};

static void on_signal(int number)
{
        caught = number;
}

static void catch_signals(struct caught_signals *ret)
{
        struct sigaction action = {.sa_handler = on_signal};
        sigset_t all;

        caught = 0;
        sigemptyset(&all);
        for (size_t i = 0; i < KB_ARRAY_SIZE(signals); i++)
                sigaddset(&all, signals[i]);
        sigprocmask(SIG_BLOCK, &all, &ret->mask);
        for (size_t i = 0; i < KB_ARRAY_SIZE(signals); i++)
                sigaction(signals[i], &action, &ret->before[i]);
}

static void release_signals(const struct caught_signals *s)
{
        for (size_t i = 0; i < KB_ARRAY_SIZE(signals); i++)
                sigaction(signals[i], &s->before[i], NULL);
        if (caught)
                raise(caught);
        sigprocmask(SIG_SETMASK, &s->mask, NULL);
}

/*
 * Reads what is typed, key by key, so that Ctrl-C comes to us and the terminal is always set right again.
 * Returns the length, -EINTR when the person gave up, -EMSGSIZE.
 */
static ssize_t read_keys(int tty, const sigset_t *mask, char *to)
{
        struct pollfd keys = {.fd = tty, .events = POLLIN};
        size_t n = 0;

        for (;;) {
                unsigned char key;
                ssize_t r = ppoll(&keys, 1, NULL, mask) < 0 ? -1 : read(tty, &key, 1);

                if (r <= 0 || key == CTRL_C || (key == CTRL_D && n == 0))
                        return -EINTR; /* given up, hung up, or a signal came */
                if (key == '\n' || key == '\r' || key == CTRL_D)
                        break;
                if (key == BACKSPACE || key == DELETE)
                        n -= n > 0;
                else if (key == CTRL_U)
                        n = 0;
                else if (n + 1 >= CLI_LINE_MAX)
                        return -EMSGSIZE;
                else
                        to[n++] = (char)key;
        }
        to[n] = '\0';
        return (ssize_t)n;
}

/* Without echo, and really so: tcsetattr() is content when it could do a part of what it was asked. */
static int make_quiet(int tty, const struct termios *normal)
{
        struct termios quiet = *normal, now;

        quiet.c_lflag &= ~(tcflag_t)(ECHO | ICANON | ISIG);
        quiet.c_cc[VMIN] = 1;
        quiet.c_cc[VTIME] = 0;
        if (tcsetattr(tty, TCSAFLUSH, &quiet) < 0 || tcgetattr(tty, &now) < 0)
                return -errno;
        return now.c_lflag & (ECHO | ICANON | ISIG) ? -ENOTTY : 0;
}

static ssize_t ask_terminal(int tty, const char *prompt, char *to)
{
        struct caught_signals held;
        struct termios normal;
        ssize_t n;

        if (tcgetattr(tty, &normal) < 0)
                return -errno;
        catch_signals(&held);
        n = make_quiet(tty, &normal);
        if (n == 0) {
                dprintf(tty, "%s", prompt);
                n = read_keys(tty, &held.mask, to);
        }
        tcsetattr(tty, TCSAFLUSH, &normal);
        dprintf(tty, "\n");
        release_signals(&held);
        return n;
}

/* The next line of stdin, byte by byte: what follows belongs to whoever reads next. */
static ssize_t read_line(char *to)
{
        size_t n = 0;

        for (;;) {
                char c;
                ssize_t r = read(STDIN_FILENO, &c, 1);

                if (r < 0 && errno == EINTR)
                        continue;
                if (r < 0)
                        return -errno;
                if (r == 0 && n == 0)
                        return -ENODATA;
                if (r == 0 || c == '\n')
                        break;
                if (n + 1 >= CLI_LINE_MAX)
                        return -EMSGSIZE;
                to[n++] = c;
        }
        to[n] = '\0';
        return (ssize_t)n;
}

static int judge_input(const struct cli *cli, const char *prompt, ssize_t n, const char *text)
{
        if (n == -EINTR)
                return cli_fail(cli, KB_E_BAD_REQUEST, "given up");
        if (n == -ENODATA)
                return cli_fail(cli, KB_E_BAD_REQUEST,
                                "stdin ended where \"%s\" was wanted; give one line for each", prompt);
        if (n == -EMSGSIZE)
                return cli_fail(cli, KB_E_BAD_REQUEST, "that is longer than %d bytes; take it from a file",
                                CLI_LINE_MAX - 1);
        if (n < 0)
                return cli_fail(cli, KB_E_INTERNAL, "no secret could be read: %s", strerror((int)-n));
        if (n == 0)
                return cli_fail(cli, KB_E_BAD_REQUEST, "\"%s\" is empty", prompt);
        if (strlen(text) != (size_t)n)
                return cli_fail(cli, KB_E_BAD_REQUEST, "\"%s\" holds a NUL byte; take it from a file",
                                prompt);
        return 0;
}

static int read_once(const struct cli *cli, int tty, const char *prompt, const char *suffix, char **ret)
{
        _cleanup_secret_ char *text = kb_secret_alloc(CLI_LINE_MAX);
        _cleanup_free_ char *question = cli_format("%s%s: ", prompt, suffix);
        ssize_t n;
        int r;

        if (!text)
                return cli_fail(cli, KB_E_INTERNAL, "memory is out");
        n = tty >= 0 ? ask_terminal(tty, question, text) : read_line(text);
        r = judge_input(cli, prompt, n, text);
        if (r == 0)
                *ret = take_ptr(text);
        return r;
}

int cli_read_secret(const struct cli *cli, const char *prompt, bool twice, char **ret)
{
        _cleanup_secret_ char *first = NULL, *second = NULL;
        _cleanup_close_ int tty = -1;
        int r;

        if (isatty(STDIN_FILENO) && !cli->given[CLI_OPTION_password_stdin]) {
                tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
                if (tty < 0)
                        return cli_fail(
                                cli, KB_E_BAD_REQUEST,
                                "/dev/tty: %s; there is no terminal that could be asked without echo: "
                                "give \"%s\" through a pipe on stdin",
                                strerror(errno), prompt);
        }
        r = read_once(cli, tty, prompt, "", &first);
        if (r == 0 && twice && tty >= 0) {
                r = read_once(cli, tty, prompt, ", again", &second);
                if (r == 0 && strcmp(first, second) != 0)
                        r = cli_fail(cli, KB_E_BAD_REQUEST, "the two are not the same; nothing was changed");
        }
        if (r == 0)
                *ret = take_ptr(first);
        return r;
}

int cli_read_file(const struct cli *cli, const char *path, uint8_t **ret, size_t *ret_size)
{
        bool from_stdin = strcmp(path, "-") == 0;
        _cleanup_close_ int fd = from_stdin ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
        _cleanup_secret_ uint8_t *bytes = kb_secret_alloc(CLI_FILE_MAX + 1);
        size_t have = 0;

        if (fd < 0)
                return cli_fail(cli, errno == ENOENT ? KB_E_NOT_FOUND : KB_E_BAD_REQUEST, "%s: %s", path,
                                strerror(errno));
        if (!bytes)
                return cli_fail(cli, KB_E_INTERNAL, "memory is out");
        while (have <= CLI_FILE_MAX) {
                ssize_t n = read(fd, bytes + have, CLI_FILE_MAX + 1 - have);

                if (n == 0)
                        break;
                if (n > 0)
                        have += (size_t)n;
                else if (errno != EINTR)
                        return cli_fail(cli, KB_E_BAD_REQUEST, "%s: %s", path, strerror(errno));
        }
        if (have > CLI_FILE_MAX)
                return cli_fail(cli, KB_E_BAD_REQUEST, "%s is longer than %d KiB", path,
                                CLI_FILE_MAX / 1024);
        *ret = take_ptr(bytes);
        *ret_size = have;
        return 0;
}
