/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/broker/logins.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "common/crashpoint.h"
#include "common/file.h"
#include "helper/broker/publisher.h"
#include "helper/server/process.h"

/* No store can have such a name: the '.' keeps them apart from what stores are kept. */
#define LOCKOUT_FILE  "login.lockout"
#define RECOVERY_FILE "login.recovery"

/* To unlock a screen takes three requests. A person in a hurry notices nothing; a loop soon does. */
#define SELF_BURST     60
#define SELF_USEC      (3 * KB_USEC_PER_SEC)
#define THROTTLED_USEC (60 * KB_USEC_PER_SEC)

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

static void save_lockout(struct kb_logins *l, kb_disk_done done, void *userdata)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(KB_LOCKOUT_BYTES_MAX);

        kb_lockout_put(l->lockout, &w);
        save(l, LOCKOUT_FILE, false, &w, done, userdata);
}

void kb_logins_save_lockout(struct kb_logins *l)
{
        save_lockout(l, NULL, NULL);
}

/* A wrong guess whose count is on its way to the disk. */
struct guess {
        struct kb_request *request;
        char text[512]; /* as long as an answer's can be */
};

static void on_counted(int r, void *userdata)
{
        _cleanup_free_ struct guess *g = userdata;

        kb_crashpoint("guess-counted");
        kb_request_fail(g->request, KB_E_BAD_SECRET, "%s", g->text);
}

void kb_login_refuse_guess(struct kb_logins *l, struct kb_request *request, const char *text)
{
        struct guess *g = malloc(sizeof(*g));

        if (!g) {
                kb_logins_save_lockout(l);
                kb_request_fail(request, KB_E_BUSY, "out of memory");
                return;
        }
        g->request = request;
        snprintf(g->text, sizeof(g->text), "%s", text);
        save_lockout(l, on_counted, g);
}

static void write_recovery(struct kb_logins *l, bool once, kb_disk_done done, void *userdata)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(4096);

        kb_recovery_put(&l->recovery, &w);
        save(l, RECOVERY_FILE, once, &w, done, userdata);
}

void kb_logins_save_recovery(struct kb_logins *l, kb_disk_done done, void *userdata)
{
        l->codes_busy = true;
        write_recovery(l, true, done, userdata);
}

void kb_logins_put_back_recovery(struct kb_logins *l, const struct kb_recovery *before)
{
        l->recovery = *before;
        write_recovery(l, false, NULL, NULL);
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
        if (r >= 0)
                r = kb_throttle_new(&l->throttle, SELF_BURST, SELF_USEC);
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
        kb_throttle_free(l->throttle);
        sd_event_source_disable_unref(l->throttled);
        free(l->keep);
        free(l);
}

/* --- who --- */

void kb_login_note_throttled(struct kb_broker *broker)
{
        struct kb_throttled who;

        broker->logins->throttled = sd_event_source_disable_unref(broker->logins->throttled);
        while (kb_throttle_next(broker->logins->throttle, &who)) {
                char uid[16];

                snprintf(uid, sizeof(uid), "%u", who.uid);
                broker->refusals += who.refused - 1; /* the note counts for one */
                kb_broker_note(broker, (struct kb_event){
                                               .id = KB_EVENT_LOGIN_THROTTLED,
                                               .subject = who.user[0] ? NULL : "too many others",
                                               .user = who.user,
                                               .uid = who.user[0] ? uid : NULL,
                                               .count = who.refused,
                                               .reason = kb_error_word(KB_E_THROTTLED),
                                       });
        }
}

static int on_throttled(sd_event_source *source, uint64_t now, void *userdata)
{
        kb_login_note_throttled(userdata);
        return 0;
}

/* Before anything is written down: whoever asks without end does not fill the log. */
static bool throttled(struct kb_broker *broker, struct kb_request *request, const char *user)
{
        struct kb_logins *l = broker->logins;

        if (kb_throttle_take(l->throttle, kb_request_peer(request)->uid, user, kb_now_boottime()))
                return false;
        if (!l->throttled)
                (void)sd_event_add_time_relative(broker->event, &l->throttled, CLOCK_BOOTTIME,
                                                 THROTTLED_USEC, 0, on_throttled, broker);
        kb_request_fail(request, KB_E_THROTTLED, "too many requests: wait a moment");
        return true;
}

const struct kb_person *kb_login_person(struct kb_broker *broker, struct kb_request *request,
                                        const char *user)
{
        const struct kb_directory *directory = kb_publisher_directory(broker->publisher);
        const struct kb_person *person = directory ? kb_directory_person(directory, user) : NULL;
        bool self = kb_request_caller(request) == KB_CALLER_SELF;

        if (self && (!person || person->record.uid != kb_request_peer(request)->uid)) {
                kb_request_fail(request, KB_E_DENIED, "on this socket everybody speaks for themselves only");
                return NULL;
        }
        if (self && throttled(broker, request, user))
                return NULL;
        if (!person)
                kb_request_fail(request, KB_E_NOT_FOUND, "the directory has no such person");
        return person;
}

const char *kb_login_claim(const struct kb_request *request, const char *text)
{
        return kb_request_caller(request) == KB_CALLER_SELF ? "" : text;
}

void kb_login_uid(const struct kb_request *request, char ret[static 16])
{
        ret[0] = '\0';
        if (kb_request_caller(request) == KB_CALLER_SELF)
                snprintf(ret, 16, "%u", kb_request_peer(request)->uid);
}

struct kb_attempt *kb_login_attempt(struct kb_broker *broker, const struct kb_request *request,
                                    const char *handle)
{
        return kb_attempt_find(broker->logins->attempts, kb_request_peer(request)->uid, handle,
                               kb_now_boottime());
}

/* No PAM service has such a name, so what happens on auth.sock locks nobody out of the others. */
struct kb_lockout_key kb_login_key(bool self, const char *remote_host, const char *user, const char *service)
{
        return (struct kb_lockout_key){.remote_host = self ? "" : remote_host,
                                       .user = user,
                                       .service = self ? "/auth.sock" : service};
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
