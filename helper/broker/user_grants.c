/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/broker/user_grants.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "helper/broker/publisher.h"
#include "helper/broker/sessions.h"
#include "helper/broker/user_folder.h"
#include "helper/server/process.h"

/* A credential that was asked for and has not come yet. It may outlive the login that asked. */
struct want {
        struct want *next;
        struct kb_user_grants *owner;
        struct opening *opening; /* NULL once the login has gone on without it */
        struct kb_issue *issue;
        char user[KB_USER_NAME_MAX + 1];
        char uid[12];
        char service[65];
        char credential[KB_CREDENTIAL_NAME_MAX + 1];
        char request[17];
};

/* A login that waits for what its person may have. */
struct opening {
        struct opening *next;
        struct kb_user_grants *owner;
        char user[KB_USER_NAME_MAX + 1];
        char uid[12];
        unsigned wants;
        bool some; /* there is something for this session, or will be */
        sd_event_source *timer;
        kb_user_grants_done done;
        void *userdata;
};

struct kb_user_grants {
        struct kb_broker *broker;
        sd_event_source *timer;
        uint64_t next; /* the end of a linger, KB_TIME_NEVER: nobody lingers */
        struct want *wants;
        struct opening *openings;
};

/* --- who may have what --- */

/* The names of a person's groups, NULL-terminated; free() the list, not the names. NULL: memory is out. */
static char **groups_of(const struct kb_directory *directory, const struct kb_person *person)
{
        const struct kb_group *groups;
        char **names = calloc((size_t)person->groups.count + 1, sizeof(*names));

        kb_directory_groups(directory, &groups);
        for (uint32_t i = 0; names && i < person->groups.count; i++)
                names[i] = (char *)(uintptr_t)groups[person->groups.at[i]].name;
        return names;
}

/* What is known of whoever holds a grant, while it is looked at. */
struct holder {
        const struct kb_credential *credential;
        const char *user;
        char **groups;
        bool is_named; /* by the credential's file, whatever the service */
        bool is_there; /* with a session that the credential is for */
};

static void look_at_session(const struct kb_session *session, void *userdata)
{
        struct holder *h = userdata;

        h->is_there |= strcmp(session->user, h->user) == 0 &&
                       kb_credential_allows_person(h->credential, h->user, h->groups, session->service);
}

/* Whether the directory still has the person, as somebody who may log in. */
static bool is_in_force(const struct kb_person *person, const char *uid)
{
        return person && strtoul(uid, NULL, 10) == person->record.uid && !person->record.disabled &&
               person->record.expires > kb_now_realtime();
}

/* False: this person may not have it. *ret_held: whether a session of theirs holds it. */
static bool judge(const struct kb_held *held, bool *ret_held)
{
        const struct kb_broker *broker = held->broker;
        const struct kb_directory *directory = kb_publisher_directory(broker->publisher);
        struct holder h = {
                .credential = kb_broker_credential(broker, held->grant.credential),
                .user = held->grant.consumer,
        };
        const struct kb_person *person = directory ? kb_directory_person(directory, h.user) : NULL;
        _cleanup_free_ char **groups = NULL;

        *ret_held = true;
        if (!directory) /* nobody can tell who is who: the grants stay until somebody can */
                return true;
        if (!is_in_force(person, held->grant.instance) || !h.credential)
                return false;
        h.groups = groups = groups_of(directory, person);
        if (!groups)
                return true;
        for (char **s = h.credential->allow_services; s && *s; s++)
                h.is_named |= kb_credential_allows_person(h.credential, h.user, groups, *s);
        kb_sessions_each(broker->sessions, look_at_session, &h);
        *ret_held = h.is_there;
        return h.is_named;
}

/* --- the linger --- */

struct round {
        struct kb_user_grants *grants;
        const char *user; /* whose grants are looked at, NULL: everybody's */
        bool at_once;     /* without linger */
        uint64_t now;
};

static bool is_over(struct kb_held *held, void *userdata)
{
        struct round *round = userdata;
        bool holds;
        uint64_t end;

        if (held->consumer != KB_CONSUMER_USER || held->grant.ended ||
            (round->user && strcmp(round->user, held->grant.consumer) != 0))
                return false;
        if (!judge(held, &holds))
                return true;
        if (holds) {
                held->unheld = 0;
                return false;
        }
        if (held->unheld == 0)
                held->unheld = round->now;
        end = kb_time_add(held->unheld, round->grants->broker->config->linger_usec);
        if (end <= round->now || round->at_once)
                return true;
        if (end < round->grants->next)
                round->grants->next = end;
        return false;
}

/* A look at one person's grants may leave a time that has become too early: then it is looked once more. */
static void look_again(struct kb_user_grants *grants, const char *user, bool at_once)
{
        struct round round = {.grants = grants, .user = user, .at_once = at_once, .now = kb_now_boottime()};

        if (!user)
                grants->next = KB_TIME_NEVER;
        kb_grants_end_those(grants->broker->grants, is_over, &round);
        if (grants->next != KB_TIME_NEVER)
                sd_event_source_set_time(grants->timer, grants->next);
        sd_event_source_set_enabled(grants->timer,
                                    grants->next == KB_TIME_NEVER ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
}

static int on_linger(sd_event_source *source, uint64_t now, void *userdata)
{
        look_again(userdata, NULL, false);
        return 0;
}

void kb_user_grants_check(struct kb_user_grants *grants, const char *user)
{
        if (grants)
                look_again(grants, user, false);
}

void kb_user_grants_drop(struct kb_user_grants *grants, const char *user)
{
        look_again(grants, user, true);
}

/* --- life --- */

static bool has_no_values(struct kb_held *held, void *userdata)
{
        return held->consumer == KB_CONSUMER_USER && !held->grant.ended &&
               !kb_user_folder_has(held->broker, held->grant.instance, held->grant.credential);
}

int kb_user_grants_new(struct kb_user_grants **ret, struct kb_broker *broker)
{
        _cleanup_(kb_user_grants_freep) struct kb_user_grants *grants = calloc(1, sizeof(*grants));
        int r;

        if (!grants)
                return -ENOMEM;
        grants->broker = broker;
        r = sd_event_add_time(broker->event, &grants->timer, CLOCK_BOOTTIME, 0, 0, on_linger, grants);
        if (r < 0)
                return r;
        kb_grants_end_those(broker->grants, has_no_values, NULL);
        kb_user_folder_clean(broker);
        look_again(grants, NULL, false);
        *ret = take_ptr(grants);
        return 0;
}

void kb_user_grants_free(struct kb_user_grants *grants)
{
        if (!grants)
                return;
        while (grants->wants) {
                struct want *want = grants->wants;

                grants->wants = want->next;
                kb_issue_cancel(want->issue);
                free(want);
        }
        while (grants->openings) {
                struct opening *opening = grants->openings;

                grants->openings = opening->next;
                sd_event_source_disable_unref(opening->timer);
                free(opening);
        }
        sd_event_source_disable_unref(grants->timer);
        free(grants);
}

/* --- a login --- */

/* All has come that will come in time: the login goes on. */
static void finish(struct opening *o)
{
        struct kb_user_grants *grants = o->owner;
        char folder[KB_USER_FOLDER_MAX] = "";

        for (struct opening **p = &grants->openings; *p; p = &(*p)->next)
                if (*p == o) {
                        *p = o->next;
                        break;
                }
        for (struct want *w = grants->wants; w; w = w->next)
                if (w->opening == o)
                        w->opening = NULL;
        if (o->some)
                kb_user_folder_path(o->uid, folder);
        o->done(folder, o->userdata);
        sd_event_source_disable_unref(o->timer);
        free(o);
}

static int on_patience_over(sd_event_source *source, uint64_t now, void *userdata)
{
        struct opening *o = userdata;

        /* There has to be a folder for what may still come. */
        o->some |= kb_user_folder_update(o->owner->broker, o->user, o->uid) >= 0;
        finish(o);
        return 0;
}

static void note_refusal(const struct want *want, enum kb_error error, const char *why)
{
        kb_broker_note(want->owner->broker, (struct kb_event){
                                                    .id = KB_EVENT_GRANT_REFUSED,
                                                    .user = want->user,
                                                    .uid = want->uid,
                                                    .service = want->service,
                                                    .credential = want->credential,
                                                    .request = want->request,
                                                    .reason = kb_error_word(error),
                                                    .detail = why,
                                            });
}

/* One answer: the values are in the folder by now, or will not come. */
static void on_issued(const struct kb_issued *issued, void *userdata)
{
        struct want *want = userdata;
        struct opening *opening = want->opening;

        for (struct want **p = &want->owner->wants; *p; p = &(*p)->next)
                if (*p == want) {
                        *p = want->next;
                        break;
                }
        if (issued->error != KB_E_OK) {
                note_refusal(want, issued->error, issued->reason);
                kb_user_folder_update(want->owner->broker, want->user, want->uid);
        } else if (opening)
                opening->some = true;
        free(want);
        if (opening && --opening->wants == 0)
                finish(opening);
}

/* Whether it is in the folder already, or on its way there by itself. */
static bool is_there(struct kb_broker *broker, const char *user, const char *uid, const char *credential)
{
        struct kb_held *held = kb_grants_find(broker->grants, KB_CONSUMER_USER, user, uid, credential);

        if (!held || held->grant.ended || !held->grant.issued || !held->ready)
                return false;
        if (kb_grant_newest(&held->grant) || held->grant.policy.rotates)
                return true;
        kb_grants_end(held); /* it ran out, and this login asks for it anew */
        return false;
}

static void want(struct opening *o, const struct kb_credential *credential, const char *service,
                 const char *request)
{
        struct kb_user_grants *grants = o->owner;
        struct want *want = calloc(1, sizeof(*want));

        if (!want) {
                kb_process_log(LOG_ERR, "%s is not asked for: out of memory", credential->name);
                return;
        }
        *want = (struct want){.next = grants->wants, .owner = grants, .opening = o};
        snprintf(want->user, sizeof(want->user), "%s", o->user);
        snprintf(want->uid, sizeof(want->uid), "%s", o->uid);
        snprintf(want->service, sizeof(want->service), "%s", service);
        snprintf(want->credential, sizeof(want->credential), "%s", credential->name);
        snprintf(want->request, sizeof(want->request), "%s", request);
        grants->wants = want;
        o->wants++;
        kb_issue_start(grants->broker,
                       &(struct kb_issue_request){
                               .consumer = KB_CONSUMER_USER,
                               .name = o->user,
                               .instance = o->uid,
                               .credential = credential,
                               .request = request,
                       },
                       on_issued, want, &want->issue);
}

static void ask(struct opening *o, const struct kb_person *person, const char *service, const char *request)
{
        struct kb_broker *broker = o->owner->broker;
        const struct kb_credentials *all = broker->credentials;
        _cleanup_free_ char **groups = groups_of(kb_publisher_directory(broker->publisher), person);

        if (!is_in_force(person, o->uid)) /* in spite of that let in, by Mode=observe */
                return;
        for (size_t i = 0; all && i < all->count; i++) {
                if (!kb_credential_allows_person(all->sorted[i], o->user, groups, service))
                        continue;
                if (is_there(broker, o->user, o->uid, all->sorted[i]->name))
                        o->some = true;
                else
                        want(o, all->sorted[i], service, request);
        }
}

void kb_user_grants_ask(struct kb_user_grants *grants, const struct kb_person *person, const char *service,
                        const char *request, kb_user_grants_done done, void *userdata)
{
        struct opening *o = calloc(1, sizeof(*o));

        if (!o) {
                done("", userdata);
                return;
        }
        *o = (struct opening){
                .next = grants->openings, .owner = grants, .wants = 1, .done = done, .userdata = userdata};
        snprintf(o->user, sizeof(o->user), "%s", person->record.name);
        snprintf(o->uid, sizeof(o->uid), "%u", person->record.uid);
        grants->openings = o;
        look_again(grants, o->user, false); /* what lingered is held again */
        ask(o, person, service, request);
        if (--o->wants == 0 ||
            sd_event_add_time_relative(grants->broker->event, &o->timer, CLOCK_MONOTONIC,
                                       KB_USER_GRANTS_WAIT_USEC, 0, on_patience_over, o) < 0)
                finish(o);
}
