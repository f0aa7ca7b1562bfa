/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usage: logins turns ROUNDS SERVICE:USER...
 *        logins crowd COUNT SECONDS SERVICE:USER...
 *
 * Logins through libpam, with the password that is the first line of stdin.
 *
 *   turns  lets services take turns at whole logins; prints per login: service, microseconds in all, and of
 *          pam_authenticate()
 *   crowd  so many logins at once, a process each as with sshd; prints "go", then per login: the word for
 * what it came to, and its microseconds; "hung" for one that has no answer when the seconds are over
 */
#include <err.h>
#include <poll.h>
#include <security/pam_appl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CROWD_MAX     4096
#define READY_SECONDS 3 /* until each of them has read its configuration and loaded its modules */

static char password[256];

struct result {
        int code;
        uint64_t auth, total;
};

static uint64_t now_usec(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static int converse(int n, const struct pam_message **messages, struct pam_response **ret, void *userdata)
{
        struct pam_response *answers = calloc((size_t)n, sizeof(*answers));

        for (int i = 0; answers && i < n; i++)
                if (messages[i]->msg_style == PAM_PROMPT_ECHO_OFF)
                        answers[i].resp = strdup(password);
        *ret = answers;
        return answers ? PAM_SUCCESS : PAM_BUF_ERR;
}

/* A person who has to wait after a failure would only stretch the figures. */
static void do_not_wait(int code, unsigned usec, void *userdata)
{
}

static pam_handle_t *start(const char *service, const char *user)
{
        static const struct pam_conv conversation = {converse, NULL};
        pam_handle_t *pamh;

        if (pam_start(service, user, &conversation, &pamh) != PAM_SUCCESS)
                errx(1, "pam_start");
        pam_set_item(pamh, PAM_FAIL_DELAY, (const void *)do_not_wait);
        pam_set_item(pamh, PAM_TTY, "load");
        return pamh;
}

static struct result login(pam_handle_t *pamh, bool session)
{
        struct result result = {.auth = now_usec()};

        result.code = pam_authenticate(pamh, 0);
        result.auth = now_usec() - result.auth;
        if (result.code == PAM_SUCCESS)
                result.code = pam_acct_mgmt(pamh, 0);
        if (result.code == PAM_SUCCESS && session) {
                result.code = pam_open_session(pamh, 0);
                if (result.code == PAM_SUCCESS)
                        result.code = pam_close_session(pamh, 0);
        }
        pam_end(pamh, result.code);
        return result;
}

/* Splits SERVICE:USER. */
static const char *user_of(char *word, char **ret_service)
{
        char *colon = strchr(word, ':');

        if (!colon)
                errx(2, "%s: not SERVICE:USER", word);
        *ret_service = strndup(word, (size_t)(colon - word));
        return colon + 1;
}

static int turns(int argc, char **argv)
{
        for (unsigned long round = strtoul(argv[0], NULL, 10); round > 0; round--)
                for (int i = 1; i < argc; i++) {
                        char *service;
                        const char *user = user_of(argv[i], &service);
                        uint64_t begun = now_usec();
                        struct result result = login(start(service, user), true);

                        result.total = now_usec() - begun;
                        if (result.code != PAM_SUCCESS)
                                errx(1, "%s: %s", argv[i], pam_strerror(NULL, result.code));
                        printf("%s %llu %llu\n", service, (unsigned long long)result.total,
                               (unsigned long long)result.auth);
                        fflush(stdout);
                        free(service);
                }
        return 0;
}

static const char *word_of(int code)
{
        switch (code) {
        case PAM_SUCCESS:
                return "in";
        case PAM_AUTHINFO_UNAVAIL: /* busy, or away: the journal has the word */
                return "unavailable";
        default:
                return "refused";
        }
}

static void collect(int from, unsigned count, uint64_t seconds)
{
        uint64_t end = now_usec() + seconds * 1000000;
        struct result result;

        for (; count > 0; count--) {
                struct pollfd p = {.fd = from, .events = POLLIN};
                uint64_t now = now_usec();

                if (now >= end || poll(&p, 1, (int)((end - now) / 1000)) != 1 ||
                    read(from, &result, sizeof(result)) != sizeof(result))
                        break;
                printf("%s %llu\n", word_of(result.code), (unsigned long long)result.total);
        }
        for (; count > 0; count--)
                printf("hung %llu\n", (unsigned long long)(seconds * 1000000));
}

/* One of the crowd: stands ready until everybody does, and comes in. */
static _Noreturn void be_one(pam_handle_t *pamh, int go, int results)
{
        struct result result;
        uint64_t begun;
        char byte;

        (void)!read(go, &byte, 1);
        begun = now_usec();
        result = login(pamh, false);
        result.total = now_usec() - begun;
        _exit(write(results, &result, sizeof(result)) == sizeof(result) ? 0 : 1);
}

static int crowd(int argc, char **argv)
{
        static pid_t children[CROWD_MAX];
        unsigned long count = strtoul(argv[0], NULL, 10);
        int go[2], results[2];

        if (count > CROWD_MAX || pipe(go) < 0 || pipe(results) < 0)
                err(1, "a crowd of %lu", count);
        for (unsigned long i = 0; i < count; i++) {
                char *service;
                const char *user = user_of(argv[2 + i % (unsigned)(argc - 2)], &service);

                children[i] = fork();
                if (children[i] < 0)
                        err(1, "fork");
                if (children[i] == 0) {
                        close(go[1]);
                        be_one(start(service, user), go[0], results[1]);
                }
                free(service);
        }
        close(results[1]);
        sleep(READY_SECONDS);
        printf("go\n");
        fflush(stdout);
        close(go[1]);
        collect(results[0], (unsigned)count, strtoul(argv[1], NULL, 10));
        for (unsigned long i = 0; i < count; i++)
                kill(children[i], SIGKILL); /* those that hang */
        while (wait(NULL) > 0)
                ;
        return 0;
}

int main(int argc, char **argv)
{
        const char *what = argc > 3 ? argv[1] : "";

        if (!fgets(password, sizeof(password), stdin))
                errx(2, "no password on stdin");
        password[strcspn(password, "\n")] = '\0';
        if (strcmp(what, "turns") == 0)
                return turns(argc - 2, argv + 2);
        if (strcmp(what, "crowd") == 0 && argc > 4)
                return crowd(argc - 2, argv + 2);
        errx(2, "usage: see the head of its source");
}
