/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/broker/broker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <syslog.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-id128.h>

#include "helper/broker/clock_watch.h"
#include "helper/broker/crl.h"
#include "helper/broker/disk.h"
#include "helper/broker/grants.h"
#include "helper/broker/logins.h"
#include "helper/broker/publisher.h"
#include "helper/broker/sessions.h"
#include "helper/broker/stores.h"
#include "helper/broker/systemd.h"
#include "helper/broker/unit_folder.h"
#include "helper/broker/unit_socket.h"
#include "helper/broker/units.h"
#include "helper/broker/user_folder.h"
#include "helper/broker/user_grants.h"
#include "helper/broker/verbs.h"
#include "helper/grant/cache.h"
#include "helper/log/confirm.h"
#include "helper/log/journal.h"
#include "helper/server/process.h"

#define LOG_DIR KB_STATEDIR "/log"

/* Frames on the sockets of modules and CLI. */
#define ROOT_REQUEST_MAX ((size_t)1536 * 1024) /* a secret that is put, or a piece of a backup */
#define SELF_REQUEST_MAX ((size_t)16 * 1024)
/* Last good answers of kept secrets: far more than one host has. */
#define STALE_ENTRIES 4096
#define STALE_BYTES   ((size_t)16 * 1024 * 1024)

#define READ_USEC (5 * KB_USEC_PER_SEC)

static const struct kb_config_trust trust = {.owner = 0};

void kb_broker_request_id(char ret[static 17])
{
        uint64_t random = 0;

        if (getrandom(&random, sizeof(random), 0) != sizeof(random))
                random = kb_now_monotonic(); /* an id joins lines of a log; nothing rests on it */
        snprintf(ret, 17, "%016llx", (unsigned long long)random);
}

void kb_broker_note(struct kb_broker *broker, struct kb_event event)
{
        int r = broker->log ? kb_log_append(broker->log, &event, false, NULL, NULL) : -ESHUTDOWN;

        broker->refusals += strcmp(kb_event_info(event.id)->outcome, "refused") == 0;
        if (r < 0)
                kb_process_log(LOG_ERR, "%s is not in the log: %s", kb_event_info(event.id)->word,
                               strerror(-r));
}

const struct kb_credential *kb_broker_credential(const struct kb_broker *broker, const char *name)
{
        return kb_credentials_find(broker->credentials, name);
}

/* --- configuration --- */

static void report(const struct kb_problems *problems)
{
        for (size_t i = 0; i < problems->count; i++) {
                _cleanup_free_ char *line = kb_problem_format(&problems->problems[i]);

                kb_process_log(LOG_ERR, "%s", line ? line : "a problem that memory is too short to print");
        }
}

/* skip_bad: at the start, what is good is served; a reload is all or nothing. */
static int load(bool skip_bad, struct kb_problems *problems, struct kb_config **ret_config,
                struct kb_credentials **ret_credentials)
{
        _cleanup_(kb_config_freep) struct kb_config *config = NULL;
        int r = kb_config_new(KB_CONFIG_FILE, &trust, problems, &config);

        if (r >= 0)
                r = kb_credentials_new(KB_CREDENTIALS_FOLDER, &trust, config, skip_bad, problems,
                                       ret_credentials);
        report(problems);
        if (r >= 0)
                *ret_config = take_ptr(config);
        return r;
}

/* The first problem stands for all: the journal has a line for each, and so has `keybearer config check`. */
static void note_refused(struct kb_broker *broker, const struct kb_problems *problems)
{
        struct kb_event event = {.id = KB_EVENT_CONFIG_REFUSED, .detail = "it cannot be read"};

        if (problems->count > 0) {
                event.file = problems->problems[0].file;
                event.line = problems->problems[0].line;
                event.detail = problems->problems[0].text;
        }
        kb_broker_note(broker, event);
}

void kb_broker_reload(struct kb_broker *broker)
{
        _cleanup_problems_ struct kb_problems problems = {0};
        struct kb_config *config;
        struct kb_credentials *credentials;
        struct kb_event event = {.id = KB_EVENT_CONFIG_LOADED};
        char detail[64];
        int r = load(false, &problems, &config, &credentials);

        if (r < 0) {
                note_refused(broker, &problems);
                return;
        }
        kb_credentials_free(broker->credentials);
        kb_config_free(broker->config);
        broker->config = config;
        broker->credentials = credentials;
        snprintf(detail, sizeof(detail), "%zu credential%s", credentials->count, KB_S(credentials->count));
        event.detail = detail;
        kb_broker_note(broker, event);
        kb_grants_check(broker->grants);
        kb_user_grants_check(broker->user_grants, NULL);
        kb_stores_update(broker->stores);
}

/* --- the log --- */

/* In `systemctl status`, whose journal may have no room for it either. That it works again is a record. */
static void tell_log_error(struct kb_broker *broker)
{
        struct kb_log_state state;

        kb_log_get_state(broker->log, &state);
        if (state.error == broker->log_error)
                return;
        broker->log_error = state.error;
        if (state.error == 0) {
                sd_notify(0, "STATUS=");
                return;
        }
        sd_notifyf(0, "STATUS=The log cannot be written: %s", strerror(-state.error));
        kb_process_log(LOG_ERR, "the log cannot be written: %s; what needs a record is %s until it can",
                       strerror(-state.error),
                       broker->config->log_required ? "refused" : "done without one");
}

static int on_log(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        struct kb_broker *broker = userdata;

        kb_log_dispatch(broker->log);
        tell_log_error(broker);
        return 0;
}

static int open_log(struct kb_broker *broker)
{
        struct kb_log_options options = {
                .max_size = broker->config->log_max_file_size,
                .keep_files = (unsigned)broker->config->log_keep,
                .anchor_records = (unsigned)broker->config->log_anchor_records,
                .anchor_age = broker->config->log_anchor_usec,
                .start_over = broker->config->log_damaged == KB_LOG_DAMAGED_go_on,
                .journal = KB_JOURNAL_SOCKET,
        };
        struct kb_log_damage damage = {0};
        int r = kb_log_open(&broker->log, LOG_DIR, &options, &damage);

        if (r == -ENOENT)
                kb_process_log(LOG_ERR, "there is no log in " LOG_DIR "; make one: keybearer setup");
        else if (r == -ENODATA)
                kb_process_log(LOG_ERR, "there are records in " LOG_DIR ", but its file `identity` is "
                                        "missing: put it back, or move the folder away and make a new "
                                        "log: keybearer setup");
        else if (r == -EBADMSG)
                kb_process_log(LOG_ERR,
                               "the log is damaged: file %llu, byte %llu; see what it proves: keybearer "
                               "audit verify; to go on beside it: Damaged=go-on in [Log]",
                               (unsigned long long)damage.file, (unsigned long long)damage.offset);
        else if (r < 0)
                kb_process_log(LOG_ERR, "the log in " LOG_DIR " cannot be opened: %s", strerror(-r));
        if (r < 0)
                return r;
        return sd_event_add_io(broker->event, &broker->log_source, kb_log_fd(broker->log), EPOLLIN, on_log,
                               broker);
}

/* --- the clock --- */

static void on_clock_set(int64_t ahead, void *userdata)
{
        struct kb_broker *broker = userdata;
        char detail[64];

        snprintf(detail, sizeof(detail), "%lld s %s", llabs(ahead) / (long long)KB_USEC_PER_SEC,
                 ahead > 0 ? "ahead" : "back");
        kb_broker_note(broker, (struct kb_event){.id = KB_EVENT_CLOCK_SET, .detail = detail});
        kb_grants_follow_clock(broker->grants);
        kb_publisher_refresh(broker->publisher, NULL, NULL); /* whose age is by the clock, too */
}

/* --- units --- */

static void on_unit_changed(const char *unit, const char *invocation, void *userdata)
{
        struct kb_broker *broker = userdata;

        kb_grants_end_consumer(broker->grants, KB_CONSUMER_UNIT, unit, invocation);
        kb_unit_folder_check(broker, unit);
}

static void on_units_lost(void *userdata)
{
        struct kb_broker *broker = userdata;

        kb_grants_check(broker->grants);
}

/* Units and people may pass through, each to the folder that is its own. */
static int open_folder(const char *path, int *ret)
{
        if (mkdir(path, 0711) < 0 && errno != EEXIST)
                return -errno;
        if (chmod(path, 0711) < 0)
                return -errno;
        *ret = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return *ret < 0 ? -errno : 0;
}

static int load_host_key(struct kb_broker *broker)
{
        sd_id128_t machine;
        int r = sd_id128_get_machine(&machine);

        if (r >= 0)
                r = kb_sdcred_host_key_load(KB_SDCRED_HOST_SECRET, machine.bytes, &broker->host_key);
        if (r < 0)
                kb_process_log(LOG_ERR,
                               "this host's key cannot be read from " KB_SDCRED_HOST_SECRET
                               " (%s); make it: systemd-creds setup",
                               strerror(-r));
        return r;
}

/* --- sockets --- */

static int listen_on(struct kb_broker *broker, const char *name, enum kb_caller caller, size_t max_request)
{
        int fd = kb_process_take_fd(name);

        if (fd < 0) {
                kb_process_log(LOG_ERR,
                               "systemd passed no socket %s: start keybearer-%s.socket, not this program",
                               name, name);
                return fd;
        }
        return kb_server_listen(broker->server, &(struct kb_listener){
                                                        .fd = fd,
                                                        .caller = caller,
                                                        .max_peers = (unsigned)broker->config->max_requests,
                                                        .max_request = max_request,
                                                        .read_usec = READ_USEC,
                                                });
}

static int open_unit_socket(struct kb_broker *broker, const char *name, enum kb_unit_socket_kind kind,
                            struct kb_unit_socket **ret)
{
        int fd = kb_process_take_fd(name);

        if (fd == -ENOENT && kind == KB_UNIT_SOCKET_PLAIN)
                return 0; /* a host may do without */
        if (fd < 0) {
                kb_process_log(LOG_ERR, "systemd passed no socket %s: start keybearer-%s.socket", name,
                               name);
                return fd;
        }
        return kb_unit_socket_new(ret, broker, fd, kind);
}

static int open_sockets(struct kb_broker *broker)
{
        int r = kb_server_new(&broker->server, broker->event, kb_verbs, kb_verbs_count, broker);

        if (r >= 0)
                r = listen_on(broker, "root", KB_CALLER_ROOT, ROOT_REQUEST_MAX);
        if (r >= 0)
                r = listen_on(broker, "auth", KB_CALLER_SELF, SELF_REQUEST_MAX);
        if (r >= 0)
                r = open_unit_socket(broker, "encrypted", KB_UNIT_SOCKET_ENCRYPTED, &broker->encrypted);
        if (r >= 0)
                r = open_unit_socket(broker, "plain", KB_UNIT_SOCKET_PLAIN, &broker->plain);
        return r;
}

/* --- together --- */

/* What was handed out before is known before the first question is answered. */
static int start(struct kb_broker *broker)
{
        _cleanup_problems_ struct kb_problems problems = {0};
        int r = load(true, &problems, &broker->config, &broker->credentials);

        if (r >= 0)
                r = load_host_key(broker);
        if (r >= 0)
                r = kb_systemd_new(&broker->systemd, broker->event, KB_SYSTEMD_OPTIONS);
        if (r >= 0)
                r = open_folder(KB_RUNDIR "/units", &broker->units_fd);
        if (r >= 0)
                r = open_folder(KB_USERS_DIR, &broker->users_fd);
        if (r >= 0)
                r = open_log(broker);
        if (r >= 0)
                r = kb_disk_new(&broker->disk, broker->event);
        if (r >= 0)
                r = kb_forward_new(&broker->forward, broker->log, LOG_DIR,
                                   &(struct kb_forward_options){.confirmer = &kb_confirm_journal});
        if (r >= 0)
                r = kb_cache_new(&broker->cache, STALE_ENTRIES, STALE_BYTES);
        if (r >= 0)
                r = kb_grants_new(&broker->grants, broker);
        if (r >= 0)
                r = kb_units_new(&broker->units, broker->event, KB_UNITS_RUNTIME_DIR, on_unit_changed,
                                 on_units_lost, broker);
        if (r >= 0)
                r = kb_grants_replay(broker->grants, LOG_DIR);
        if (r >= 0)
                kb_unit_folder_clean(broker);
        if (r >= 0)
                r = kb_crls_new(&broker->crls, broker);
        if (r >= 0)
                r = kb_publisher_new(&broker->publisher, broker, KB_PUBLISHER_PLACES);
        if (r >= 0)
                r = kb_stores_new(&broker->stores, broker);
        if (r >= 0)
                r = kb_clock_watch_new(&broker->clock, broker->event, on_clock_set, broker);
        if (r >= 0)
                r = kb_logins_new(&broker->logins, broker->disk, KB_LOGINS_KEEP);
        if (r >= 0)
                r = kb_sessions_new(&broker->sessions, broker->event, KB_SESSIONS_DIR,
                                    kb_login_session_ended, broker);
        if (r >= 0)
                r = kb_sessions_restore(broker->sessions);
        if (r >= 0)
                r = kb_user_grants_new(&broker->user_grants, broker);
        if (r >= 0)
                r = open_sockets(broker);
        return r;
}

int kb_broker_new(struct kb_broker **ret, sd_event *event)
{
        _cleanup_(kb_broker_freep) struct kb_broker *broker = calloc(1, sizeof(*broker));
        int r;

        if (!broker)
                return -ENOMEM;
        broker->event = sd_event_ref(event);
        broker->units_fd = broker->users_fd = -1;
        broker->started = kb_now_realtime();
        r = start(broker);
        if (r < 0)
                return r;
        *ret = take_ptr(broker);
        return 0;
}

void kb_broker_stop(struct kb_broker *broker)
{
        broker->stopping = true;
        kb_login_note_throttled(broker);
        kb_server_stop_accepting(broker->server);
        kb_unit_socket_stop_accepting(broker->encrypted);
        if (broker->plain)
                kb_unit_socket_stop_accepting(broker->plain);
}

bool kb_broker_idle(const struct kb_broker *broker)
{
        return kb_server_pending(broker->server) == 0 && !kb_grants_fetching(broker->grants) &&
               kb_disk_idle(broker->disk) && kb_unit_socket_pending(broker->encrypted) == 0 &&
               (!broker->plain || kb_unit_socket_pending(broker->plain) == 0);
}

/*
 * What waits for the disk goes first, since it may want a record; then the log: it calls back what still
 * waits for it, and that is for requests, logins and grants which have to be there. What they give the disk
 * then is written before it goes. What the log would be told after that is lost, and the next start finds it
 * in its own way.
 */
void kb_broker_free(struct kb_broker *broker)
{
        if (!broker)
                return;
        if (broker->disk)
                kb_disk_drain(broker->disk);
        sd_event_source_disable_unref(broker->log_source);
        kb_forward_free(broker->forward);
        kb_log_free(broker->log);
        broker->log = NULL;
        if (broker->disk)
                kb_disk_drain(broker->disk);
        kb_unit_socket_free(broker->encrypted);
        kb_unit_socket_free(broker->plain);
        kb_server_free(broker->server);
        kb_clock_watch_free(broker->clock);
        kb_units_free(broker->units);
        kb_user_grants_free(broker->user_grants);
        kb_stores_free(broker->stores);
        kb_crls_free(broker->crls);
        kb_sessions_free(broker->sessions);
        kb_logins_free(broker->logins);
        kb_publisher_free(broker->publisher);
        kb_grants_free(broker->grants);
        kb_disk_free(broker->disk);
        kb_cache_free(broker->cache);
        kb_systemd_free(broker->systemd);
        if (broker->units_fd >= 0)
                close(broker->units_fd);
        if (broker->users_fd >= 0)
                close(broker->users_fd);
        kb_host_key_done(&broker->host_key);
        kb_credentials_free(broker->credentials);
        kb_config_free(broker->config);
        sd_event_unref(broker->event);
        free(broker);
}
