/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "helper/broker/broker.h"
#include "helper/broker/grants.h"
#include "helper/broker/logins.h"
#include "helper/broker/publisher.h"
#include "helper/broker/store_client.h"
#include "helper/broker/stores.h"
#include "helper/broker/unit_socket.h"
#include "helper/broker/verbs.h"
#include "helper/log/forward.h"

#define ADMIN_USEC (600 * KB_USEC_PER_SEC) /* a backup of a large store takes its time */

/* --- status --- */

static void add_store(const struct kb_store_state *state, void *userdata)
{
        struct kb_list_builder *facts = userdata;
        char name[KB_CREDENTIAL_NAME_MAX + 16];

        snprintf(name, sizeof(name), "store.%s", state->name);
        kb_list_add_text(facts, name,
                         state->up           ? "up"
                         : state->problem[0] ? state->problem
                                             : "not asked yet");
}

static void add_directory(struct kb_broker *broker, struct kb_list_builder *facts)
{
        struct kb_publisher_state directory;
        uint64_t now = kb_now_realtime();

        kb_publisher_get_state(broker->publisher, &directory);
        kb_list_add_text(facts, "directory_store", broker->config->directory_store);
        kb_list_add_number(facts, "directory_version", directory.version);
        kb_list_add_number(facts, "directory_confirmed", directory.confirmed);
        if (directory.confirmed > 0)
                kb_list_add_number(facts, "directory_age_seconds",
                                   directory.confirmed < now ? (now - directory.confirmed) / KB_USEC_PER_SEC
                                                             : 0);
        kb_list_add_number(facts, "directory_old", directory.until <= now);
        kb_list_add_number(facts, "directory_people", directory.people);
        kb_list_add_number(facts, "directory_left_out", directory.left_out);
        kb_list_add_text(facts, "directory_problem", directory.problem);
}

static void add_log(struct kb_broker *broker, struct kb_list_builder *facts)
{
        struct kb_forward_state journal = {0};
        struct kb_log_state log;

        kb_log_get_state(broker->log, &log);
        kb_list_add_number(facts, "log_records", log.written);
        kb_list_add_number(facts, "log_waiting", log.waiting);
        kb_list_add_number(facts, "log_lost", log.lost);
        kb_list_add_text(facts, "log_error", log.error < 0 ? strerror(-log.error) : "");
        if (broker->forward)
                kb_forward_get_state(broker->forward, &journal);
        kb_list_add_number(facts, "journal_lag", journal.lag);
        kb_list_add_number(facts, "journal_resent", journal.resent);
        kb_list_add_number(facts, "journal_given_up", journal.given_up);
        kb_list_add_number(facts, "journal_blind", journal.blind);
        kb_list_add_text(facts, "journal_error", journal.error < 0 ? strerror(-journal.error) : "");
}

static unsigned units_waiting(const struct kb_broker *broker)
{
        return kb_unit_socket_pending(broker->encrypted) +
               (broker->plain ? kb_unit_socket_pending(broker->plain) : 0);
}

void kb_verb_status(struct kb_request *request, void *context)
{
        struct kb_broker *broker = context;
        _cleanup_list_ struct kb_list_builder facts = kb_list_builder_init(KB_FRAME_MAX / 2);
        struct kb_grants_state grants;

        kb_grants_get_state(broker->grants, &grants);
        kb_list_add_text(&facts, "version", PACKAGE_VERSION);
        kb_list_add_number(&facts, "started", broker->started);
        kb_list_add_text(&facts, "login_mode",
                         broker->config->login_mode == KB_LOGIN_observe ? "observe" : "enforce");
        kb_list_add_number(&facts, "recovery_codes", broker->logins->recovery.n);
        kb_list_add_number(&facts, "recovery_used", broker->logins->recovery.used);
        kb_list_add_number(&facts, "credentials", broker->credentials->count);
        kb_list_add_number(&facts, "grants", grants.live);
        kb_list_add_number(&facts, "grants_failing", grants.failing);
        kb_list_add_number(&facts, "grants_revoking", grants.revoking);
        kb_list_add_number(&facts, "grants_overdue_seconds", grants.overdue / KB_USEC_PER_SEC);
        kb_list_add_number(&facts, "refusals", broker->refusals);
        kb_list_add_number(&facts, "requests_pending", kb_server_pending(broker->server));
        kb_list_add_number(&facts, "units_waiting", units_waiting(broker));
        add_log(broker, &facts);
        add_directory(broker, &facts);
        kb_stores_each(broker->stores, add_store, &facts);
        kb_request_reply(request, status, .facts = kb_list_built(&facts));
}

/* --- anchor --- */

static void on_anchor(int r, const char *line, void *userdata)
{
        struct kb_request *request = userdata;

        if (r < 0)
                kb_request_fail(request, KB_E_NO_RECORD, "the log cannot be written: %s", strerror(-r));
        else
                kb_request_reply(request, anchor, .anchor = line);
}

void kb_verb_anchor(struct kb_request *request, void *context)
{
        struct kb_broker *broker = context;
        int r = kb_log_anchor(broker->log, on_anchor, request);

        if (r < 0)
                on_anchor(r, NULL, request);
}

/* --- admin: logged here, done by a store --- */

struct admin {
        struct kb_broker *broker;
        struct kb_request *request;
        struct kb_admin_request is; /* points into the request */
        char action[96];            /* "secret put" */
        struct kb_store_call *call; /* NULL: none is under way */
        void *frame;                /* the store's answer, and what it says */
        struct kb_list rows;
};

/* Looking at names is not written down; whatever changes something is, and so is looking at a secret. */
static bool only_looks(const char *action)
{
        static const char *const words[] = {"*list", "*show", "status", "versions", "certificates"};

        for (size_t i = 0; i < KB_ARRAY_SIZE(words); i++)
                if (kb_name_matches(words[i], action))
                        return true;
        return false;
}

static struct kb_event event_of(const struct admin *a, uint32_t id)
{
        return (struct kb_event){
                .id = id,
                .subject = "root",
                .action = a->action,
                .object = a->is.name,
                .store = a->is.store,
                .request = kb_request_id(a->request),
                .pid = (uint64_t)kb_request_peer(a->request)->pid,
        };
}

static void admin_note(const struct admin *a, enum kb_error error, const char *text)
{
        struct kb_event event = event_of(a, error == KB_E_OK ? KB_EVENT_ADMIN_DONE : KB_EVENT_ADMIN_REFUSED);

        if (error == KB_E_OK && only_looks(a->is.action))
                return;
        if (error != KB_E_OK) {
                event.reason = kb_error_word(error);
                event.detail = text;
        }
        kb_broker_note(a->broker, event);
}

static void on_progress_sent(struct kb_request *request, void *userdata)
{
        struct admin *a = userdata;

        if (a->call)
                kb_store_call_resume(a->call);
}

/* The store goes as fast as the administrator reads: a backup is longer than what we keep for anybody. */
static void on_admin_progress(const struct kb_progress_record *progress, void *userdata)
{
        struct admin *a = userdata;

        kb_request_progress(a->request, progress);
        kb_store_call_hold(a->call);
        kb_request_when_sent(a->request, on_progress_sent, a);
}

static void admin_free(struct admin *a)
{
        if (!a)
                return;
        kb_secret_free(a->frame);
        free(a);
}
KB_DEFINE_CLEANUP(struct admin, admin_free);

/* The change is made, and in force on this host, or why it is not yet. */
static void on_refreshed(enum kb_error error, const char *text, void *userdata)
{
        _cleanup_(admin_freep) struct admin *a = userdata;

        if (error == KB_E_OK)
                kb_request_reply(a->request, admin, .rows = a->rows);
        else
                kb_request_fail(a->request, error, "it is stored, but not in force on this host: %s", text);
}

/* Whether it may have changed who there is and who may do what. */
static bool changes_directory(const struct admin *a)
{
        static const char *const objects[] = {"user", "group", "rule", "store"};

        for (size_t i = 0; i < KB_ARRAY_SIZE(objects); i++)
                if (strcmp(a->is.object, objects[i]) == 0)
                        return !only_looks(a->is.action) &&
                               strcmp(a->is.store, a->broker->config->directory_store) == 0;
        return false;
}

/* Whether the store may be open now, or sealed. */
static bool changes_store(const struct admin *a)
{
        return (strcmp(a->is.object, "seal") == 0 || strcmp(a->is.object, "store") == 0) &&
               !only_looks(a->is.action);
}

static void on_admin_done(const struct kb_store_answer *answer, void *userdata)
{
        _cleanup_(admin_freep) struct admin *a = userdata;
        struct kb_publisher *publisher = a->broker->publisher; /* a is given away below */
        struct kb_store_admin_reply reply;
        enum kb_error error = answer->error;

        a->call = NULL;
        if (error == KB_E_OK && kb_store_admin_reply_get(answer->fields, &reply) < 0)
                error = KB_E_INTERNAL;
        admin_note(a, error, answer->text);
        if (changes_store(a)) /* also what failed may have got that far */
                kb_stores_greet(a->broker->stores, a->is.store);
        if (error != KB_E_OK) {
                kb_request_fail(a->request, error, "%s", answer->text);
                return;
        }
        a->frame = kb_store_answer_take(answer);
        a->rows = reply.rows;
        if (changes_directory(a))
                kb_publisher_refresh(publisher, on_refreshed, take_ptr(a));
        else
                on_refreshed(KB_E_OK, "", take_ptr(a));
}

static void admin_start(struct admin *a)
{
        if (kb_store_call_new(&a->call, &(struct kb_store_request){
                                                .event = a->broker->event,
                                                .dir = KB_STORES_DIR,
                                                .store = a->is.store,
                                                .verb = KB_VERB_store_admin,
                                                .usec = ADMIN_USEC,
                                                .done = on_admin_done,
                                                .progress = on_admin_progress,
                                                .userdata = a,
                                        }) < 0) {
                kb_request_fail(a->request, KB_E_BUSY, "out of memory");
                admin_free(a);
                return;
        }
        kb_store_admin_request_put(kb_store_call_writer(a->call),
                                   &(struct kb_store_admin_request){.object = a->is.object,
                                                                    .action = a->is.action,
                                                                    .name = a->is.name,
                                                                    .fields = a->is.fields});
        kb_store_call_start(a->call);
}

/* Nothing is changed and no secret shown without a record, so it is written before. */
static void on_admin_asked(int r, uint64_t sequence, void *userdata)
{
        struct admin *a = userdata;

        if (kb_login_released(a->broker, a->request, r))
                admin_start(a);
        else
                admin_free(a);
}

void kb_verb_admin(struct kb_request *request, void *context)
{
        struct kb_broker *broker = context;
        struct kb_event event;
        struct admin *a = calloc(1, sizeof(*a));

        if (!a) {
                kb_request_fail(request, KB_E_BUSY, "out of memory");
                return;
        }
        *a = (struct admin){.broker = broker, .request = request};
        if (kb_admin_request_get(kb_request_body(request), &a->is) < 0 || !kb_name_word_valid(a->is.store) ||
            !kb_name_word_valid(a->is.object) || !kb_name_word_valid(a->is.action)) {
                free(a);
                kb_request_fail(request, KB_E_BAD_REQUEST,
                                "admin: store, object and action have to be names");
                return;
        }
        snprintf(a->action, sizeof(a->action), "%s %s", a->is.object, a->is.action);
        event = event_of(a, KB_EVENT_ADMIN_ASKED);
        if (only_looks(a->is.action))
                admin_start(a);
        else
                kb_login_record(broker, &event, on_admin_asked, a);
}
