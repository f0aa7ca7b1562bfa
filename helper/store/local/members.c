/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/local/members.h"

#include <stdio.h>
#include <string.h>

#include "common/names.h"
#include "helper/store/local/attribute.h"

#define WORDS_MAX (400 * 1024)
#define WORD_MAX  256

bool kb_words_have(const char *words, const char *wanted)
{
        char word[WORD_MAX];

        while (kb_next_word(&words, word, sizeof(word)))
                if (strcmp(word, wanted) == 0)
                        return true;
        return false;
}

static void add_word(struct kb_writer *w, const char *word)
{
        if (w->size > 0)
                kb_write_raw(w, KB_SPAN_STRING(" "));
        kb_write_raw(w, KB_SPAN_STRING(word));
}

/* The words without one of them, then perhaps with it at the end. */
static int change_words(const char *words, const char *wanted, bool present, struct kb_writer *ret)
{
        char word[WORD_MAX];

        while (kb_next_word(&words, word, sizeof(word)))
                if (strcmp(word, wanted) != 0)
                        add_word(ret, word);
        if (present)
                add_word(ret, wanted);
        kb_write_raw(ret, KB_SPAN("", 1));
        return kb_writer_end(ret);
}

/* An object with other words in one attribute. */
static int put_words(struct kb_local *l, const char *kind, const struct kb_object *old,
                     const char *attribute, const char *words, uint64_t now)
{
        _cleanup_list_ struct kb_list_builder changes = kb_list_builder_init(WORDS_MAX),
                                              pairs = kb_list_builder_init(WORDS_MAX);
        int r;

        kb_list_add_text(&changes, attribute, words);
        r = kb_object_merge(old, kb_list_built(&changes), &pairs);
        return r < 0 ? r
                     : kb_object_put(&l->shelf, kind, old->name, old->version, kb_list_built(&pairs), now);
}

int kb_members_put(struct kb_local *l, const struct kb_object *group, const char *person, bool member,
                   uint64_t now)
{
        _cleanup_writer_ struct kb_writer words = kb_writer_init(WORDS_MAX);
        int r = change_words(kb_object_text(group, "members", ""), person, member, &words);

        return r < 0 ? r : put_words(l, "group", group, "members", (const char *)words.data, now);
}

/* --- all of them --- */

/* What names somebody, one after the other: changing objects while walking them is not allowed. */
struct first {
        const char *attribute, *word;
        struct kb_object found;
};

static int find(struct kb_object *o, void *userdata)
{
        struct first *first = userdata;

        if (!kb_words_have(kb_object_text(o, first->attribute, ""), first->word))
                return 0;
        first->found = *o;
        *o = (struct kb_object){};
        return 1;
}

static int leave_rule(struct kb_local *l, const struct kb_object *rule, const char *word, uint64_t now,
                      struct kb_list_builder *ret_rules)
{
        _cleanup_writer_ struct kb_writer words = kb_writer_init(WORDS_MAX);
        int r = change_words(kb_object_text(rule, "who", ""), word, false, &words);

        if (r < 0)
                return r;
        kb_list_add_text(ret_rules, rule->name, (const char *)words.data);
        return words.data[0] ? put_words(l, "rule", rule, "who", (const char *)words.data, now)
                             : kb_object_remove(&l->shelf, "rule", rule->name);
}

static int leave_each(struct kb_local *l, const char *kind, const char *attribute, const char *word,
                      uint64_t now, struct kb_list_builder *ret_rules)
{
        int r;

        do {
                struct first first = {.attribute = attribute, .word = word};

                r = kb_object_each(&l->shelf, kind, "", find, &first);
                if (r > 0)
                        r = strcmp(kind, "rule") == 0 ? leave_rule(l, &first.found, word, now, ret_rules)
                                                      : kb_members_put(l, &first.found, word, false, now);
                kb_object_done(&first.found);
        } while (r > 0);
        return r;
}

int kb_members_leave(struct kb_local *l, const char *name, uint64_t now, struct kb_list_builder *ret_rules)
{
        char as_group[KB_USER_NAME_MAX + 2];
        int r = leave_each(l, "group", "members", name, now, ret_rules);

        snprintf(as_group, sizeof(as_group), "@%.*s", KB_USER_NAME_MAX, name);
        if (r >= 0)
                r = leave_each(l, "rule", "who", name, now, ret_rules);
        if (r >= 0)
                r = leave_each(l, "rule", "who", as_group, now, ret_rules);
        return r < 0 ? r : kb_writer_end(&ret_rules->writer);
}
