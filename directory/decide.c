/* SPDX-License-Identifier: Apache-2.0 */
#include "directory/decide.h"

#include <string.h>

#include "common/clock.h"

static const struct {
        const char *word, *text;
} rows[] = {
#define REASON(NAME, word, text) [KB_REASON_##NAME] = {word, text},
#include "directory/reason.def"
#undef REASON
};

const char *kb_reason_word(enum kb_reason reason)
{
        return (size_t)reason < KB_ARRAY_SIZE(rows) ? rows[reason].word : "unknown";
}

const char *kb_reason_text(enum kb_reason reason)
{
        return (size_t)reason < KB_ARRAY_SIZE(rows) ? rows[reason].text : "unknown";
}

static bool names(const struct kb_directory *d, struct kb_list who, const struct kb_person *person)
{
        const char *name;

        while (kb_list_next_string(&who, &name)) {
                const struct kb_group *group;

                if (name[0] != '@' && strcmp(name, person->record.name) == 0)
                        return true;
                group = name[0] == '@' ? kb_directory_group(d, name + 1) : NULL;
                if (group && kb_directory_is_member(d, person, group))
                        return true;
        }
        return false;
}

static bool matches(struct kb_list patterns, const char *name)
{
        const char *pattern;

        if (patterns.count == 0)
                return true;
        while (kb_list_next_string(&patterns, &pattern))
                if (kb_name_matches(pattern, name))
                        return true;
        return false;
}

/* How far the rule goes towards permitting it. */
static enum kb_reason judge(const struct kb_directory *d, const struct kb_rule_record *rule,
                            const struct kb_person *person, const struct kb_access *access)
{
        if (!names(d, rule->who, person))
                return KB_REASON_NO_RULE;
        if (!matches(rule->hosts, access->host))
                return KB_REASON_WRONG_HOST;
        if (!matches(rule->services, access->service))
                return KB_REASON_WRONG_SERVICE;
        if (rule->until != KB_TIME_NEVER && access->now >= rule->until)
                return KB_REASON_OVER;
        if (access->now < rule->from)
                return KB_REASON_NOT_YET;
        if (rule->factors & ~access->factors)
                return KB_REASON_FACTOR_MISSING;
        return KB_REASON_PERMITTED;
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
        return a < b ? a : b;
}

static uint64_t permission_end(const struct kb_rule_record *rule, const struct kb_person *person,
                               uint64_t now)
{
        uint64_t end = earlier(rule->until, person->record.expires);
        uint64_t length = KB_TIME_NEVER;

        if (rule->seconds > 0 && rule->seconds < KB_TIME_NEVER / KB_USEC_PER_SEC)
                length = rule->seconds * KB_USEC_PER_SEC;
        return earlier(end, kb_time_add(now, length));
}

/* Whether a is the better answer than b. Equals keep the first, whose name is the smaller one. */
static bool better(const struct kb_decision *a, const struct kb_decision *b)
{
        if (a->reason == KB_REASON_PERMITTED || b->reason == KB_REASON_PERMITTED)
                return a->reason == KB_REASON_PERMITTED &&
                       (b->reason != KB_REASON_PERMITTED || a->valid_until > b->valid_until);
        return a->reason > b->reason;
}

static struct kb_decision decide_by_rules(const struct kb_directory *d, const struct kb_person *person,
                                          const struct kb_access *access)
{
        struct kb_decision best = {.reason = KB_REASON_NO_RULE, .rule = ""};
        const struct kb_rule_record *rules;
        size_t n = kb_directory_rules(d, &rules);

        for (size_t i = 0; i < n; i++) {
                struct kb_decision this = {
                        .reason = judge(d, &rules[i], person, access),
                        .rule = rules[i].name,
                };

                if (this.reason == KB_REASON_PERMITTED)
                        this.valid_until = permission_end(&rules[i], person, access->now);
                if (this.reason == KB_REASON_FACTOR_MISSING)
                        this.missing = rules[i].factors & ~access->factors;
                if (better(&this, &best))
                        best = this;
        }
        return best;
}

static enum kb_reason judge_person(const struct kb_directory *d, const struct kb_person *person,
                                   const struct kb_access *access)
{
        if (!d)
                return KB_REASON_NO_DIRECTORY;
        if (access->directory_until != KB_TIME_NEVER && access->now >= access->directory_until)
                return KB_REASON_DIRECTORY_OLD;
        if (!person)
                return KB_REASON_UNKNOWN;
        if (person->record.disabled)
                return KB_REASON_DISABLED;
        if (person->record.expires != KB_TIME_NEVER && access->now >= person->record.expires)
                return KB_REASON_EXPIRED;
        return KB_REASON_PERMITTED;
}

void kb_decide(const struct kb_directory *directory, const struct kb_access *access,
               struct kb_decision *ret_decision)
{
        const struct kb_person *person = directory ? kb_directory_person(directory, access->user) : NULL;
        struct kb_decision decision = {.reason = judge_person(directory, person, access), .rule = ""};

        if (decision.reason == KB_REASON_PERMITTED)
                decision = decide_by_rules(directory, person, access);
        decision.permit = decision.reason == KB_REASON_PERMITTED || access->observe;
        *ret_decision = decision;
}
