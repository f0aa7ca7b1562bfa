/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Directories for tests, written as tables:
 *
 *   {KB_RECORD_person, "ana", 70001},
 *   {KB_RECORD_group, "dba", 80001, .list = "ana ben"},
 *   {KB_RECORD_rule, "dbas", .list = "@dba", .services = "sshd sudo"},
 *
 * What is left out gets a value that is right.
 */

#include "common/clock.h"
#include "directory/document.h"
#include "tests/unit/test.h"

#define TEST_RANGE ((struct kb_id_range){KB_ID_MIN_DEFAULT, KB_ID_MAX_DEFAULT})

struct item {
        uint32_t kind;
        const char *name;
        uint32_t id;
        const char *list; /* members of a group, who of a rule: words */
        const char *full_name, *home, *shell, *auth;
        bool disabled;
        uint64_t expires;
        const char *hosts, *services; /* words */
        uint32_t factors;
        uint64_t from, until, seconds;
};

static inline void add_words(struct kb_list_builder *b, const char *words)
{
        while (words && *words) {
                size_t n = strcspn(words, " ");

                kb_list_add(b, KB_SPAN(words, n));
                words += n + (words[n] == ' ');
        }
}

static inline void add_person(struct kb_writer *w, const struct item *item)
{
        struct kb_person_record person = {
                .name = item->name,
                .uid = item->id,
                .full_name = item->full_name ? item->full_name : "Somebody",
                .home = item->home ? item->home : "/home/somebody",
                .shell = item->shell ? item->shell : "/bin/sh",
                .auth = item->auth ? item->auth : "",
                .disabled = item->disabled,
                .expires = item->expires ? item->expires : KB_TIME_NEVER,
        };

        kb_directory_add_person(w, &person);
}

static inline void add_group(struct kb_writer *w, const struct item *item)
{
        _cleanup_list_ struct kb_list_builder members = kb_list_builder_init(1 << 24);

        add_words(&members, item->list);
        kb_directory_add_group(w, &(struct kb_group_record){item->name, item->id, kb_list_built(&members)});
}

static inline void add_rule(struct kb_writer *w, const struct item *item)
{
        _cleanup_list_ struct kb_list_builder who = kb_list_builder_init(1 << 16);
        _cleanup_list_ struct kb_list_builder hosts = kb_list_builder_init(1 << 16);
        _cleanup_list_ struct kb_list_builder services = kb_list_builder_init(1 << 16);
        struct kb_rule_record rule = {
                .name = item->name,
                .factors = item->factors,
                .from = item->from,
                .until = item->until ? item->until : KB_TIME_NEVER,
                .seconds = item->seconds,
        };

        add_words(&who, item->list);
        add_words(&hosts, item->hosts);
        add_words(&services, item->services);
        rule.who = kb_list_built(&who);
        rule.hosts = kb_list_built(&hosts);
        rule.services = kb_list_built(&services);
        kb_directory_add_rule(w, &rule);
}

static inline void add_item(struct kb_writer *w, const struct item *item)
{
        if (item->kind == KB_RECORD_person)
                add_person(w, item);
        else if (item->kind == KB_RECORD_group)
                add_group(w, item);
        else if (item->kind == KB_RECORD_rule)
                add_rule(w, item);
        else
                kb_directory_add_tombstone(w, &(struct kb_tombstone_record){item->id, item->name});
}

/* Adds items until one without a kind. */
static inline void add_items(struct kb_writer *w, const struct item *items)
{
        for (; items->kind != 0; items++)
                add_item(w, items);
        assert_ok(kb_writer_end(w));
}

/* A directory of n people u000000 ... with uids from 65536 on, and one group of everybody. n <= 30000. */
static inline void make_crowd(struct kb_directory **ret, unsigned n)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(KB_DIRECTORY_SIZE_MAX);
        _cleanup_list_ struct kb_list_builder all = kb_list_builder_init(1 << 24);
        struct kb_directory_options options = {.range = TEST_RANGE};
        struct kb_refused refused;

        for (unsigned i = 0; i < n; i++) {
                char name[16], home[32];

                snprintf(name, sizeof(name), "u%06u", i);
                snprintf(home, sizeof(home), "/home/%s", name);
                kb_list_add_string(&all, name);
                add_person(&w, &(struct item){.name = name, .id = KB_ID_MIN_DEFAULT + i, .home = home});
        }
        kb_directory_add_group(
                &w, &(struct kb_group_record){"everybody", KB_ID_MAX_DEFAULT, kb_list_built(&all)});
        assert_ok(kb_writer_end(&w));
        assert_ok(kb_directory_load(ret, KB_SPAN(w.data, w.size), &options, &refused));
}
