/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/broker/logins.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "common/file.h"
#include "helper/broker/publisher.h"
#include "helper/server/process.h"

/* No store can have such a name: the '.' keeps them apart from what stores are kept. */
#define LOCKOUT_FILE  "login.lockout"
#define RECOVERY_FILE "login.recovery"

/* --- what outlives us --- */

static void load(struct kb_logins *l, int keep_fd, const char *name,
                 int (*take)(struct kb_logins *l, struct kb_span bytes))
{
        _cleanup_secret_ uint8_t *bytes = NULL;
        size_t size;
        int r = kb_file_read_at(keep_fd, name, KB_LOCKOUT_BYTES_MAX, &bytes, &size);

        if (r >= 0)
                r = take(l, KB_SPAN(bytes, size));
        if (r < 0 && r != -ENOENT)
                kb_process_log(LOG_ERR, "%s/%s is left aside: %s", l->keep, name, strerror(-r));
}

static int take_lockout(struct kb_logins *l, struct kb_span bytes)
{
        return kb_lockout_get(l->lockout, bytes);
}

static int take_recovery(struct kb_logins *l, struct kb_span bytes)
{
        return kb_recovery_get(bytes, &l->recovery);
}

/* Takes what was written to w. */
static void save(struct kb_logins *l, const char *name, bool once, struct kb_writer *w, kb_disk_done done,
                 void *userdata)
{
        int r = kb_writer_end(w);

        if (r >= 0) {
                kb_disk_write(l->disk,
                              &(struct kb_disk_file){.folder = l->keep,
                                                     .name = name,
                                                     .mode = 0600,
                                                     .content = KB_SPAN(w->data, w->size),
                                                     .once = once},
                              done, userdata);
                return;
        }
        kb_process_log(LOG_ERR, "%s/%s is not written: %s", l->keep, name, strerror(-r));
        if (done)
                done(r, userdata);
}

void kb_logins_save_lockout(struct kb_logins *l)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(KB_LOCKOUT_BYTES_MAX);

        kb_lockout_put(l->lockout, &w);
        save(l, LOCKOUT_FILE, false, &w, NULL, NULL);
}

void kb_logins_save_recovery(struct kb_logins *l, kb_disk_done done, void *userdata)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(4096);

        kb_recovery_put(&l->recovery, &w);
        l->codes_busy = true;
        save(l, RECOVERY_FILE, true, &w, done, userdata);
}

int kb_logins_new(struct kb_logins **ret, struct kb_disk *disk, const char *keep)
{
        _cleanup_(kb_logins_freep) struct kb_logins *l = calloc(1, sizeof(*l));
        _cleanup_close_ int keep_fd = open(keep, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int r;

        if (!l)
                return -ENOMEM;
        if (keep_fd < 0)
                return -errno;
        l->disk = disk;
        l->keep = strdup(keep);
        if (!l->keep)
                return -ENOMEM;
        r = kb_attempts_new(&l->attempts);
        if (r >= 0)
                r = kb_lockout_new(&l->lockout);
        if (r < 0)
                return r;
        load(l, keep_fd, LOCKOUT_FILE, take_lockout);
        load(l, keep_fd, RECOVERY_FILE, take_recovery);
        *ret = take_ptr(l);
        return 0;
}

void kb_logins_free(struct kb_logins *l)
{
        if (!l)
                return;
        kb_attempts_free(l->attempts);
        kb_lockout_free(l->lockout);
        free(l->keep);
        free(l);
}

/* --- who --- */

const struct kb_person *kb_login_person(struct kb_broker *broker, struct kb_request *request,
                                        const char *user)
{
        const struct kb_directory *directory = kb_publisher_directory(broker->publisher);
        const struct kb_person *person = directory ? kb_directory_person(directory, user) : NULL;

        if (kb_request_caller(request) == KB_CALLER_SELF &&
            (!person || person->record.uid != kb_request_peer(request)->uid)) {
                kb_request_fail(request, KB_E_DENIED, "on this socket everybody speaks for themselves only");
                return NULL;
        }
        if (!person)
                kb_request_fail(request, KB_E_NOT_FOUND, "the directory has no such person");
        return person;
}

void kb_login_store(const struct kb_broker *broker, const struct kb_person *person,
                    char ret_store[static KB_CREDENTIAL_NAME_MAX + 1], const char **ret_method)
{
        const char *auth = person->record.auth;
        size_t n = strcspn(auth, "/");

        if (n == 0 || n > KB_CREDENTIAL_NAME_MAX)
                snprintf(ret_store, KB_CREDENTIAL_NAME_MAX + 1, "%s", broker->config->directory_store);
        else
                snprintf(ret_store, KB_CREDENTIAL_NAME_MAX + 1, "%.*s", (int)n, auth);
        *ret_method = auth[n] == '/' ? auth + n + 1 : "";
}

struct kb_lockout_policy kb_login_policy(const struct kb_broker *broker)
{
        return (struct kb_lockout_policy){
                .attempts = broker->config->lockout_attempts,
                .window = broker->config->lockout_window_usec,
                .usec = broker->config->lockout_usec,
        };
}

/* --- nothing is permitted without a record --- */

void kb_login_record(struct kb_broker *broker, const struct kb_event *event, kb_log_done done,
                     void *userdata)
{
        int r = kb_log_append(broker->log, event, true, done, userdata);

        if (r < 0)
                done(r, 0, userdata);
}

bool kb_login_released(struct kb_broker *broker, struct kb_request *request, int r)
{
        if (r >= 0 || !broker->config->log_required)
                return true;
        kb_request_fail(request, KB_E_NO_RECORD, "the log cannot be written: %s", strerror(-r));
        return false;
}
