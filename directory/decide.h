/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * May this person do this, here and now? A pure function of the directory, the event and the time: the same
 * three always give the same answer, so an answer of last week can be worked out again.
 *
 * A rule permits when it names the person or a group of his, and host and service match one of its patterns
 * (no patterns: any), and now lies in its time, and all factors it asks for were shown. One rule that
 * permits is enough; none denies, and their order means nothing. Who is disabled, expired or unknown is
 * refused whatever the rules say.
 */

#include "directory/document.h"

enum kb_reason {
#define REASON(NAME, word, text) KB_REASON_##NAME,
#include "directory/reason.def"
#undef REASON
};

const char *kb_reason_word(enum kb_reason reason);
const char *kb_reason_text(enum kb_reason reason);

/* What somebody wants. */
struct kb_access {
        const char *user;
        const char *service;
        const char *host;         /* this host's name, as rules have it */
        uint32_t factors;         /* bits of enum kb_factor: what was shown */
        uint64_t now;             /* microseconds since the epoch */
        uint64_t directory_until; /* when the directory in hand is too old to decide; KB_TIME_NEVER */
        bool observe;             /* Mode=observe: say what would be, and let pass */
};

struct kb_decision {
        bool permit;           /* what to do: also true for a refusal that is only observed */
        enum kb_reason reason; /* KB_REASON_PERMITTED, or why not (even when permit is true) */
        const char *rule; /* that permits, or came closest; "" when none did. Points into the directory */
        uint32_t missing; /* bits of enum kb_factor, when the reason is FACTOR_MISSING */
        uint64_t valid_until; /* when a permission ends; KB_TIME_NEVER. 0 when the reason is a refusal */
};

/* directory NULL: there is none yet. Cannot fail. */
void kb_decide(const struct kb_directory *directory, const struct kb_access *access,
               struct kb_decision *ret_decision);
