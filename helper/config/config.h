/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* keybearer.conf: how this host is run. */

#include "helper/config/table.h"

#define KB_CONFIG_FILE KB_SYSCONFDIR "/keybearer.conf"

enum kb_login_mode { KB_LOGIN_enforce, KB_LOGIN_observe };
enum kb_log_when_damaged { KB_LOG_DAMAGED_go_on, KB_LOG_DAMAGED_refuse };

enum kb_on_unavailable { KB_ON_UNAVAILABLE_wait, KB_ON_UNAVAILABLE_stale, KB_ON_UNAVAILABLE_fail };
#define KB_ON_UNAVAILABLE_WORDS "wait|stale|fail"

/* Members as broker.def names them. Never changed once loaded. */
struct kb_config {
        struct kb_config_origins origins;
#define KEY(section, name, kind, member, ...) kb_value_##kind member;
#include "helper/config/broker.def"
#undef KEY
};

extern const struct kb_config_table kb_config_table;

/*
 * A new object from the file at path; its defaults when there is no such file. 0; -EBADMSG after problems
 * were added; -ENOMEM. A reload loads a new one and drops the old one only if that worked.
 */
int kb_config_new(const char *path, const struct kb_config_trust *trust, struct kb_problems *problems,
                  struct kb_config **ret) _must_check_;

void kb_config_free(struct kb_config *config);
KB_DEFINE_CLEANUP(struct kb_config, kb_config_free);
