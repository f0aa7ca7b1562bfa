/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the parts of keybearerd share: one event loop, the configuration in force, the log, the grants, and
 * the way to the stores. broker.c puts it together and takes it apart; each part owns its own file.
 */

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "common/clock.h"
#include "common/error.h"
#include "helper/config/credential.h"
#include "helper/config/config.h"
#include "helper/grant/sdcred.h"
#include "helper/log/log.h"
#include "helper/server/server.h"

struct kb_cache;
struct kb_clock_watch;
struct kb_crls;
struct kb_disk;
struct kb_forward;
struct kb_grants;
struct kb_logins;
struct kb_publisher;
struct kb_sessions;
struct kb_stores;
struct kb_systemd;
struct kb_unit_socket;
struct kb_units;
struct kb_user_grants;

struct kb_broker {
        sd_event *event;
        struct kb_config *config;
        struct kb_credentials *credentials;
        struct kb_host_key host_key;
        struct kb_log *log;
        sd_event_source *log_source;
        int log_error;        /* that `systemctl status` knows of */
        struct kb_disk *disk; /* whatever else has to be on one */

        struct kb_server *server;
        struct kb_unit_socket *encrypted;
        struct kb_unit_socket *plain;

        struct kb_clock_watch *clock;
        struct kb_grants *grants;
        struct kb_systemd *systemd;
        struct kb_units *units;
        struct kb_stores *stores;
        struct kb_crls *crls;
        struct kb_cache *cache;     /* OnUnavailable=stale */
        struct kb_forward *forward; /* the log to journald */
        struct kb_publisher *publisher;
        struct kb_logins *logins;
        struct kb_sessions *sessions;
        struct kb_user_grants *user_grants;
        int units_fd; /* /run/keybearer/units */
        int users_fd; /* /run/keybearer/users */

        uint64_t started;  /* CLOCK_REALTIME */
        uint64_t refusals; /* since then */
        bool stopping;
};

/* 0, or a negative errno; what is wrong was said on stderr by then, cause and cure. */
int kb_broker_new(struct kb_broker **ret, sd_event *event);
void kb_broker_free(struct kb_broker *broker);
KB_DEFINE_CLEANUP(struct kb_broker, kb_broker_free);

/* Reads the configuration again. The one in force stays when there is anything wrong with the new one. */
void kb_broker_reload(struct kb_broker *broker);

/* Takes no more work; kb_broker_idle() says when what was taken is done. */
void kb_broker_stop(struct kb_broker *broker);
bool kb_broker_idle(const struct kb_broker *broker);

/* The definition in force, NULL when there is none of that name. */
const struct kb_credential *kb_broker_credential(const struct kb_broker *broker, const char *name);

/* 16 random hex digits for what does not come over the wire. */
void kb_broker_request_id(char ret[static 17]);

/*
 * Writes an event that nobody waits for: a refusal, a revocation. Sets its time. That the log could not take
 * it is said on stderr; there is nothing to hold back then.
 */
void kb_broker_note(struct kb_broker *broker, struct kb_event event);
