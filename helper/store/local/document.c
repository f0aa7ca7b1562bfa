/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/local/document.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "directory/records.h"

#define DOCUMENT_MAX (256 * 1024 * 1024)
#define MAX_WORDS    32768
#define STEP         32 /* records at a time: less than a millisecond */

struct kb_document {
        uint64_t version;
        struct kb_writer records;
        size_t *ends; /* of each portion */
        uint32_t n_ends;
        size_t last_end; /* of the record before */

        /* while it is made */
        unsigned stage;
        char after[KB_USER_NAME_MAX + 65]; /* name of the record before, of this stage */
        uint64_t after_id;
        unsigned in_step;
};

/* --- portions --- */

static int end_portion(struct kb_document *d, size_t end)
{
        size_t *ends = reallocarray(d->ends, d->n_ends + 1, sizeof(*ends));

        if (!ends)
                return -ENOMEM;
        d->ends = ends;
        d->ends[d->n_ends++] = end;
        return 0;
}

/* A record was added: when the portion has grown too large with it, it ends before it. */
static int added(struct kb_document *d)
{
        size_t begun = d->n_ends > 0 ? d->ends[d->n_ends - 1] : 0;
        int r = kb_writer_end(&d->records);

        if (r >= 0 && d->records.size - d->last_end > KB_DOCUMENT_PORTION)
                r = -EMSGSIZE;
        if (r >= 0 && d->records.size - begun > KB_DOCUMENT_PORTION)
                r = end_portion(d, d->last_end);
        d->last_end = d->records.size;
        return r;
}

/* --- lists of words --- */

static int compare(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A copy with two NULs behind it, to be cut into words where it lies. */
static char *two_ends(const char *text)
{
        char *copy = calloc(1, strlen(text) + 2);

        if (copy)
                memcpy(copy, text, strlen(text));
        return copy;
}

/* Where the next word begins; ends it with a NUL. Empty at the end. */
static char *next_word(char *at)
{
        at += strspn(at, ", ");
        at[strcspn(at, ", ")] = '\0';
        return at;
}

/* The words of a text as a list of strings; sorted and each once when asked for. */
static int words_to_list(const char *text, bool sorted, struct kb_list_builder *ret)
{
        _cleanup_free_ char *copy = two_ends(text);
        _cleanup_free_ char **words = calloc(MAX_WORDS, sizeof(*words));
        size_t n = 0;

        if (!copy || !words)
                return -ENOMEM;
        for (char *w = next_word(copy); *w && n < MAX_WORDS; w = next_word(w + strlen(w) + 1))
                words[n++] = w;
        if (n == MAX_WORDS)
                return -EMSGSIZE;
        if (sorted)
                qsort(words, n, sizeof(*words), compare);
        for (size_t i = 0; i < n; i++)
                if (!sorted || i == 0 || strcmp(words[i - 1], words[i]) != 0)
                        kb_list_add_string(ret, words[i]);
        return kb_writer_end(&ret->writer);
}

static uint64_t date(const struct kb_object *o, const char *attribute, uint64_t otherwise)
{
        uint64_t value;

        return kb_parse_date(kb_object_text(o, attribute, ""), &value) ? value : otherwise;
}

/* --- one record each --- */

static int add_person(struct kb_object *o, void *userdata)
{
        struct kb_document *d = userdata;
        char home[8 + KB_USER_NAME_MAX];

        snprintf(home, sizeof(home), "/home/%.*s", KB_USER_NAME_MAX, o->name);
        kb_directory_add_person(&d->records,
                                &(struct kb_person_record){
                                        .name = o->name,
                                        .uid = (uint32_t)kb_object_number(o, "uid", 0),
                                        .full_name = kb_object_text(o, "full-name", ""),
                                        .home = kb_object_text(o, "home", home),
                                        .shell = kb_object_text(o, "shell", "/bin/bash"),
                                        .auth = kb_object_text(o, "auth", ""),
                                        .has_password = kb_object_text(o, "hash", "")[0] != '\0',
                                        .disabled = kb_yes(o, "disabled"),
                                        .expires = date(o, "expires", KB_TIME_NEVER),
                                });
        return added(d);
}

static int add_group(struct kb_object *o, void *userdata)
{
        _cleanup_list_ struct kb_list_builder members = kb_list_builder_init(KB_DOCUMENT_PORTION);
        struct kb_document *d = userdata;
        int r = words_to_list(kb_object_text(o, "members", ""), true, &members);

        if (r < 0)
                return r;
        kb_directory_add_group(&d->records, &(struct kb_group_record){
                                                    .name = o->name,
                                                    .gid = (uint32_t)kb_object_number(o, "gid", 0),
                                                    .members = kb_list_built(&members),
                                            });
        return added(d);
}

static uint32_t factors(const char *text)
{
        static const struct {
                const char *word;
                uint32_t factor;
        } words[] = {{"key", KB_FACTOR_KEY}, {"password", KB_FACTOR_PASSWORD}, {"otp", KB_FACTOR_OTP}};
        uint32_t all = 0;
        char word[16];

        while (kb_next_word(&text, word, sizeof(word)))
                for (size_t i = 0; i < KB_ARRAY_SIZE(words); i++)
                        if (strcmp(words[i].word, word) == 0)
                                all |= words[i].factor;
        return all;
}

static int add_rule(struct kb_object *o, void *userdata)
{
        _cleanup_list_ struct kb_list_builder who = kb_list_builder_init(65536),
                                              hosts = kb_list_builder_init(65536),
                                              services = kb_list_builder_init(65536);
        struct kb_document *d = userdata;
        int r = words_to_list(kb_object_text(o, "who", ""), false, &who);

        if (r >= 0)
                r = words_to_list(kb_object_text(o, "host", ""), false, &hosts);
        if (r >= 0)
                r = words_to_list(kb_object_text(o, "service", ""), false, &services);
        if (r < 0)
                return r;
        kb_directory_add_rule(&d->records,
                              &(struct kb_rule_record){
                                      .name = o->name,
                                      .who = kb_list_built(&who),
                                      .hosts = kb_list_built(&hosts),
                                      .services = kb_list_built(&services),
                                      .factors = factors(kb_object_text(o, "factor", "")),
                                      .from = date(o, "from", 0),
                                      .until = date(o, "until", KB_TIME_NEVER),
                                      .seconds = kb_duration_seconds(kb_object_text(o, "for", "")),
                              });
        return added(d);
}

/* --- the whole, in steps --- */

static const struct {
        const char *kind;
        int (*add)(struct kb_object *o, void *userdata);
} stages[] = {{"person", add_person}, {"group", add_group}, {"rule", add_rule}};

/* Ends the step when it has had enough. */
static int add_object(struct kb_object *o, void *userdata)
{
        struct kb_document *d = userdata;
        int r = stages[d->stage].add(o, d);

        if (r < 0)
                return r;
        if (snprintf(d->after, sizeof(d->after), "%s", o->name) >= (int)sizeof(d->after))
                return -EMSGSIZE;
        return ++d->in_step >= STEP;
}

/* 1: there may be more; 0: those were the last. */
static int add_tombstones(struct kb_local *l, struct kb_document *d)
{
        _cleanup_query_ struct kb_query q = {};
        int r = kb_db_query(l->db, &q, "SELECT id, name FROM ids WHERE gone > 0 AND id > ? ORDER BY id", "u",
                            d->after_id);

        while (r >= 0 && d->in_step < STEP && (r = kb_query_next(&q)) > 0) {
                d->after_id = kb_query_u64(&q, 0);
                kb_directory_add_tombstone(&d->records, &(struct kb_tombstone_record){
                                                                .id = (uint32_t)d->after_id,
                                                                .name = kb_query_string(&q, 1),
                                                        });
                r = added(d);
                d->in_step++;
        }
        return r < 0 ? r : d->in_step >= STEP;
}

int kb_document_begin(struct kb_local *l, struct kb_document **ret)
{
        _cleanup_(kb_document_freep) struct kb_document *d = calloc(1, sizeof(*d));
        int r;

        if (!d)
                return -ENOMEM;
        d->records = kb_writer_init(DOCUMENT_MAX);
        r = kb_local_directory_version(l, &d->version);
        if (r < 0)
                return r;
        *ret = take_ptr(d);
        return 0;
}

int kb_document_step(struct kb_local *l, struct kb_document *d)
{
        int r;

        d->in_step = 0;
        if (d->stage < KB_ARRAY_SIZE(stages)) {
                r = kb_object_each(&l->shelf, stages[d->stage].kind, d->after, add_object, d);
                if (r == 0) {
                        d->stage++;
                        d->after[0] = '\0';
                }
                return r < 0 ? r : 1;
        }
        r = add_tombstones(l, d);
        return r == 0 ? end_portion(d, d->records.size) : r;
}

int kb_document_make(struct kb_local *l, struct kb_document **ret)
{
        _cleanup_(kb_document_freep) struct kb_document *d = NULL;
        int r = kb_document_begin(l, &d);

        if (r < 0)
                return r;
        while ((r = kb_document_step(l, d)) > 0)
                ;
        if (r < 0)
                return r;
        *ret = take_ptr(d);
        return 0;
}

void kb_document_free(struct kb_document *d)
{
        if (!d)
                return;
        kb_writer_done(&d->records);
        free(d->ends);
        free(d);
}

uint64_t kb_document_version(const struct kb_document *d)
{
        return d->version;
}

uint32_t kb_document_parts(const struct kb_document *d)
{
        return d->n_ends;
}

struct kb_span kb_document_part(const struct kb_document *d, uint32_t part)
{
        size_t begin = part > 0 ? d->ends[part - 1] : 0;

        if (d->ends[part] == begin)
                return KB_SPAN("", 0);
        return KB_SPAN(d->records.data + begin, d->ends[part] - begin);
}
