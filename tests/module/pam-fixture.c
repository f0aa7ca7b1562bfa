/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/module/pam-fixture.h"

#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <security/pam_ext.h>

#include "tests/unit/folder.h"
#include "tests/unit/test.h"

#include "common/cleanup.h"
#include "tests/module/pam-names.h"

static char world[128]; /* where one is */

/* --- what the module would ask of the system --- */

/* libpam looks names up with this one: the test's own answers first. */
_export_ int getpwnam_r(const char *name, struct passwd *pw, char *buffer, size_t size, struct passwd **ret)
{
        static const struct {
                const char *name;
                uid_t uid;
        } strangers[] = {{"stolen", 65540}, {"guest", 4000}, {"twin", 4001}};

        *ret = NULL;
        for (size_t i = 0; i < KB_ARRAY_SIZE(strangers); i++)
                if (strcmp(name, strangers[i].name) == 0) {
                        *pw = (struct passwd){
                                .pw_name = (char *)strangers[i].name,
                                .pw_uid = strangers[i].uid,
                        };
                        *ret = pw;
                }
        return 0;
}

/* libpam writes to the kernel's audit log, and waits long when it may not: here there is none. */
int audit_open(void);

_export_ int audit_open(void)
{
        errno = EINVAL;
        return -1;
}

static char lines[65536];

uid_t pam_world_uid;

/* So that a test can be about root's passwd(1), whoever runs the tests. */
_export_ uid_t getuid(void)
{
        return pam_world_uid;
}

_export_ void pam_syslog(const pam_handle_t *pamh, int level, const char *format, ...)
{
        size_t n = strlen(lines);
        va_list ap;

        n += (size_t)snprintf(lines + n, sizeof(lines) - n, "<%d> ", level);
        va_start(ap, format);
        n += (size_t)vsnprintf(lines + n, sizeof(lines) - n, format, ap);
        va_end(ap);
        snprintf(lines + n, sizeof(lines) - n, "\n");
}

const char *journal(void)
{
        return lines;
}

/* --- the person --- */

static char *type_too_much(void)
{
        size_t size = 1 << 20;
        char *text = malloc(size + 1);

        assert_non_null(text);
        memset(text, 'x', size);
        text[size] = '\0';
        return text;
}

static int react(const struct reply *reply, struct pam_response *response)
{
        poll(NULL, 0, reply->nap_ms);
        if (reply->reaction == TYPES && !reply->text) /* the table has nothing more to say */
                return PAM_CONV_ERR;
        switch (reply->reaction) {
        case FAILS:
                return PAM_CONV_ERR;
        case WANTS_TO_WAIT:
                return PAM_CONV_AGAIN;
        case TYPES_TOO_MUCH:
                response->resp = type_too_much();
                return PAM_SUCCESS;
        case TYPES:
        case FAILS_TYPING:
                response->resp = strdup(reply->text);
                return reply->reaction == TYPES ? PAM_SUCCESS : PAM_CONV_ERR;
        default:
                return PAM_SUCCESS;
        }
}

static int converse_one(struct person *person, const struct pam_message *message,
                        struct pam_response *response)
{
        size_t n = strlen(person->notes);

        if (message->msg_style == PAM_TEXT_INFO || message->msg_style == PAM_ERROR_MSG) {
                person->n_notes++;
                snprintf(person->notes + n, sizeof(person->notes) - n, "%s\n", message->msg);
                return PAM_SUCCESS;
        }
        person->style = message->msg_style;
        snprintf(person->prompt, sizeof(person->prompt), "%s", message->msg);
        assert_true(person->n_prompts < KB_ARRAY_SIZE(person->replies));
        return react(&person->replies[person->n_prompts++], response);
}

static int converse(int n, const struct pam_message **messages, struct pam_response **ret, void *data)
{
        struct person *person = data;
        struct pam_response *responses = calloc((size_t)n, sizeof(*responses));
        int r = PAM_SUCCESS;

        assert_non_null(responses);
        for (int i = 0; i < n && r == PAM_SUCCESS; i++) {
                if (person->n_prompts < KB_ARRAY_SIZE(person->replies) &&
                    person->replies[person->n_prompts].reaction == NO_RESPONSE) {
                        free(responses);
                        *ret = NULL;
                        return PAM_SUCCESS;
                }
                r = converse_one(person, messages[i], &responses[i]);
        }
        *ret = responses;
        return r;
}

/* --- a visit --- */

const char *pam_world_module = "pam_keybearer_test.so";

static char module_path[512];

static void find_module(void)
{
        const char *top = getenv("top_builddir");
        _cleanup_free_ char *absolute = realpath(top ? top : ".", NULL);

        assert_non_null(absolute);
        snprintf(module_path, sizeof(module_path), "%s/tests/module/%s", absolute, pam_world_module);
}

static void write_service(const char *service, const char *arguments)
{
        static const char *const kinds[] = {"auth", "account", "password", "session"};
        const char *path = pam_world_path(service);
        _cleanup_fclose_ FILE *f = NULL;

        unlink(path); /* it may belong to root, while we do not any more */
        f = fopen(path, "we");
        assert_non_null(f);
        for (size_t i = 0; i < KB_ARRAY_SIZE(kinds); i++)
                fprintf(f, "%s required %s %s\n", kinds[i], module_path, arguments ? arguments : "");
}

static void take_delay(int code, unsigned usec, void *data)
{
        struct person *person = data;
        struct visit *v = (void *)((char *)person - offsetof(struct visit, person));

        v->delay = usec;
}

void visit_begin(struct visit *v)
{
        const struct pam_conv conv = {.conv = v->person.absent ? NULL : converse, .appdata_ptr = &v->person};
        const char *service = v->service ? v->service : "sshd";

        lines[0] = '\0';
        if (!v->no_broker)
                stand_in_start(&v->stand_in, pam_world_path(geteuid() == 0 ? "root.sock" : "auth.sock"),
                               &v->broker);
        write_service(service, v->arguments);
        write_service("other", v->arguments); /* libpam complains when there is none */
        assert_int_equal(pam_start_confdir(service, v->user, &conv, world, &v->pamh), PAM_SUCCESS);
        assert_int_equal(pam_set_item(v->pamh, PAM_FAIL_DELAY, (const void *)(uintptr_t)take_delay),
                         PAM_SUCCESS);
        pam_set_item(v->pamh, PAM_RHOST, "client.example");
        pam_set_item(v->pamh, PAM_RUSER, "carl");
        pam_set_item(v->pamh, PAM_TTY, "ssh");
}

void visit_end(struct visit *v)
{
        if (v->pamh)
                pam_end(v->pamh, PAM_SUCCESS);
        v->pamh = NULL;
        if (v->stand_in.fd > 0)
                stand_in_stop(&v->stand_in);
        v->stand_in.fd = -1;
}

int visit_once(struct visit *v, int (*call)(pam_handle_t *pamh, int flags), int flags)
{
        int r;

        visit_begin(v);
        r = call(v->pamh, flags);
        visit_end(v);
        return r;
}

/* --- the world --- */

const char *pam_world_path(const char *name)
{
        static char paths[4][512];
        static unsigned turn;
        char *path = paths[turn++ % KB_ARRAY_SIZE(paths)];

        snprintf(path, sizeof(paths[0]), "%s/%s", world, name);
        return path;
}

static void write_file(const char *path, const char *content)
{
        _cleanup_fclose_ FILE *f = fopen(path, "we");

        assert_non_null(f);
        assert_true(fputs(content, f) >= 0);
}

static void spoil(enum names_state state)
{
        const char *users = pam_world_path("nss/users-1");
        struct stat st;

        assert_int_equal(stat(users, &st), 0);
        if (state == NAMES_MISSING)
                assert_int_equal(unlink(users), 0);
        else if (state == NAMES_CUT)
                assert_int_equal(truncate(users, st.st_size - 1), 0);
        else if (state == NAMES_GARBAGE)
                write_file(users, "these are not the names you are looking for\n");
}

void pam_world_enter(enum names_state state)
{
        snprintf(world, sizeof(world), "%s/%d", test_folder, (int)state);
        setenv("KEYBEARER_TEST_DIR", world, 1);
        if (access(world, F_OK) == 0)
                return;
        assert_int_equal(mkdir(world, 0755), 0);
        write_file(pam_world_path("passwd"),
                   "root:x:0:0:root:/root:/bin/sh\nlocal:x:1000:1000::/:/bin/sh\n");
        assert_ok(names_publish(pam_world_path("nss"), (const char *const[]){"ana", "bea", "twin", NULL}));
        spoil(state);
}

/* The module is loaded here once and for all (it is linked with -z nodelete): a test may leave root behind.
 */
int pam_world_make(void **state)
{
        find_module();
        if (test_folder_make(state) < 0 || !dlopen(module_path, RTLD_NOW)) {
                fprintf(stderr, "%s\n", dlerror());
                return -1;
        }
        pam_world_enter(NAMES_GOOD);
        return 0;
}

int pam_world_remove(void **state)
{
        return test_folder_remove(state);
}
