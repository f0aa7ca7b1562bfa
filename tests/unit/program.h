/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The real store program, started as systemd would, in a folder of its own; asked over the wire. */

#include "tests/unit/folder.h"
#include "tests/unit/test.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "common/client.h"
#include "common/clock.h"

#define STORE_PROGRAM "helper/store/local/keybearer-store-local"

struct program {
        pid_t pid;
        char socket[100]; /* fits sun_path */
        char state[128];
        char credentials[128];
};

static inline void program_listen(const struct program *p, int *ret_fd)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};

        snprintf(address.sun_path, sizeof(address.sun_path), "%s", p->socket);
        unlink(p->socket);
        *ret_fd = socket(AF_UNIX, SOCK_STREAM, 0);
        assert_int_equal(bind(*ret_fd, (struct sockaddr *)&address, sizeof(address)), 0);
        assert_int_equal(listen(*ret_fd, 1024), 0);
}

/* In the child: the listening socket becomes descriptor 3, as systemd hands it over; sd_listen_fds(3). */
static inline void program_hand_over(int fd)
{
        char pid[16];

        snprintf(pid, sizeof(pid), "%d", (int)getpid());
        setenv("LISTEN_PID", pid, 1);
        setenv("LISTEN_FDS", "1", 1);
        setenv("LISTEN_FDNAMES", "store", 1);
        if (fd != 3) {
                dup2(fd, 3);
                close(fd);
        }
}

static inline void program_start(struct program *p)
{
        const char *builddir = getenv("top_builddir");
        char path[1024];
        int fd;

        program_listen(p, &fd);
        snprintf(path, sizeof(path), "%s/%s", builddir ? builddir : ".", STORE_PROGRAM);
        p->pid = fork();
        if (p->pid > 0) {
                close(fd);
                return;
        }
        program_hand_over(fd);
        setenv("STATE_DIRECTORY", p->state, 1);
        setenv("CREDENTIALS_DIRECTORY", p->credentials, 1);
        execl(path, path, NULL);
        _exit(127);
}

/* Its folders, before it is started. */
static inline void program_folders(struct program *p)
{
        static unsigned n;

        n++;
        snprintf(p->socket, sizeof(p->socket), "%s/%u.sock", test_folder, n);
        snprintf(p->state, sizeof(p->state), "%s/%u.state", test_folder, n);
        snprintf(p->credentials, sizeof(p->credentials), "%s/%u.credentials", test_folder, n);
        assert_int_equal(mkdir(p->state, 0700), 0);
        assert_int_equal(mkdir(p->credentials, 0700), 0);
}

static inline void program_make(struct program *p)
{
        program_folders(p);
        program_start(p);
}

/* Its exit status. */
static inline int program_stop(struct program *p, int number)
{
        int status;

        kill(p->pid, number);
        assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static inline void program_restart(struct program *p)
{
        assert_int_equal(program_stop(p, SIGTERM), 0);
        program_start(p);
}

static inline uint32_t program_ask(const struct program *p, struct kb_call *call)
{
        assert_ok(kb_call_run(call, p->socket, kb_time_add(kb_now_monotonic(), 30 * KB_USEC_PER_SEC)));
        return call->status;
}

static inline void admin_put(struct kb_call *call, const char *object, const char *action, const char *name,
                             va_list args)
{
        _cleanup_list_ struct kb_list_builder fields = kb_list_builder_init(KB_FRAME_MAX);
        const char *field;

        while ((field = va_arg(args, const char *)))
                kb_list_add_text(&fields, field, va_arg(args, const char *));
        *call = kb_call_init(KB_VERB_store_admin);
        kb_store_admin_request_put(
                &call->request,
                &(struct kb_store_admin_request){
                        .object = object, .action = action, .name = name, .fields = kb_list_built(&fields)});
}

/* An admin call: fields are names and texts, NULL at the end. The first row's pairs go to *ret_row, which
 * may be NULL and points into the call. */
static inline uint32_t admin_ask(const struct program *p, struct kb_call *call, struct kb_list *ret_row,
                                 const char *object, const char *action, const char *name, ...)
{
        struct kb_store_admin_reply reply;
        struct kb_reader reader;
        struct kb_span row;
        va_list args;

        va_start(args, name);
        admin_put(call, object, action, name, args);
        va_end(args);
        if (program_ask(p, call) != KB_E_OK || !ret_row)
                return call->status;
        *ret_row = (struct kb_list){};
        assert_ok(kb_store_admin_reply_get(call->reply.body, &reply));
        if (kb_list_next(&reply.rows, &row)) {
                reader = kb_reader_init(row);
                *ret_row = kb_read_list(&reader, 256);
                assert_ok(kb_reader_end(&reader));
        }
        return call->status;
}

/* The same where only the error matters. */
#define assert_admin(p, expected, ...)                                                                      \
        do {                                                                                                \
                _cleanup_call_ struct kb_call c_ = {};                                                      \
                uint32_t s_ = admin_ask(p, &c_, NULL, __VA_ARGS__, NULL);                                   \
                if (s_ != (expected))                                                                       \
                        fail_msg("%s: %s", kb_error_word((enum kb_error)s_), c_.text ? c_.text : "");       \
        } while (0)

static inline const char *pair_of(struct kb_list pairs, const char *name)
{
        const char *value;

        return kb_list_find_string(pairs, name, &value) ? value : NULL;
}

/* Makes the store and leaves the host slot's secret where systemd would. Returns the recovery code. */
static inline void program_init(const struct program *p, char *ret_code, size_t size)
{
        _cleanup_call_ struct kb_call call = {};
        struct kb_store_admin_reply reply;
        struct kb_span rows[2];
        struct kb_reader reader;
        struct kb_list row;
        char path[256];
        FILE *f;

        assert_int_equal(admin_ask(p, &call, &row, "store", "init", "", NULL), KB_E_OK);
        assert_string_equal(pair_of(row, "kind"), "systemd");
        snprintf(path, sizeof(path), "%s/root-key", p->credentials);
        f = fopen(path, "w");
        fputs(pair_of(row, "credential"), f);
        fclose(f);
        assert_ok(kb_store_admin_reply_get(call.reply.body, &reply));
        assert_true(kb_list_next(&reply.rows, &rows[0]));
        assert_true(kb_list_next(&reply.rows, &rows[1]));
        reader = kb_reader_init(rows[1]);
        row = kb_read_list(&reader, 16);
        snprintf(ret_code, size, "%s", pair_of(row, "code"));
}
