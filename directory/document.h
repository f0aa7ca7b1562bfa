/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The directory: people, groups and rules, as decide() and the name service need them. It is made from a
 * document (records.h) in one go, is never changed afterwards, and is replaced by the next one.
 *
 * Stores are distrusted, and there are two kinds of wrong.
 *
 * A document that is wrong in itself (an id outside the range, a duplicate, a member who does not exist ...)
 * is refused as a whole. Its writer is broken or lies, and which half of what it says is true cannot be
 * known: leaving out the record that looks wrong could leave out the one that disables somebody. The caller
 * keeps the last good directory and says so.
 *
 * A record that only collides with this host's own files is left out, and the rest is taken. The document is
 * the same for a whole fleet; a local account that somebody made by hand must not keep the host from hearing
 * that another person was disabled. The files come first in name service and PAM anyway. It is out of groups
 * and rules too, so that nothing the directory permits goes to a local account of the same name.
 */

#include "directory/files_db.h"
#include "common/ids.h"
#include "directory/records.h"

#define KB_DIRECTORY_SIZE_MAX        ((size_t)256 * 1024 * 1024)
#define KB_DIRECTORY_PEOPLE_MAX      250000
#define KB_DIRECTORY_GROUPS_MAX      100000
#define KB_DIRECTORY_MEMBERSHIPS_MAX 4000000 /* of all groups together */
#define KB_DIRECTORY_RULES_MAX       10000
#define KB_DIRECTORY_TOMBSTONES_MAX  1000000

struct kb_directory;

struct kb_directory_options {
        struct kb_id_range range;        /* IdRange= */
        const struct kb_files_db *files; /* what this host knows itself; NULL: nothing */
};

enum kb_refusal {
#define REFUSAL(NAME, word, text) KB_REFUSAL_##NAME,
#include "directory/refusal.def"
#undef REFUSAL
};

/* What is wrong, and where. */
struct kb_refused {
        enum kb_refusal reason;
        uint32_t record;  /* from 1; 0: the document as a whole */
        uint32_t kind;    /* enum kb_record_kind, 0 when it was not that far */
        char subject[65]; /* the record's name as far as it is printable, "" when it has none */
};

const char *kb_refusal_word(enum kb_refusal reason);
const char *kb_refusal_text(enum kb_refusal reason);

/* "record 12 (person ana): the id is outside ..."; cut to size like snprintf(3). */
void kb_refused_format(const struct kb_refused *refused, char *buffer, size_t size);

/*
 * Makes a directory of all records of a document, portions put together. 0; -EBADMSG with *ret_refused
 * filled, when the document is refused; -ENOMEM. Copies what it needs.
 */
int kb_directory_load(struct kb_directory **ret, struct kb_span records,
                      const struct kb_directory_options *options, struct kb_refused *ret_refused)
        _must_check_;
void kb_directory_free(struct kb_directory *d);
KB_DEFINE_CLEANUP(struct kb_directory, kb_directory_free);

/* A directory without anybody: what a new host has. */
int kb_directory_new_empty(struct kb_directory **ret, struct kb_id_range range) _must_check_;

/* Records that were left out because this host's files have name or id. */
size_t kb_directory_left_out(const struct kb_directory *d, const struct kb_refused **ret);

/* --- what is in it; everything points into the directory --- */

/* The members of a group, or the groups of a person: indexes, ascending. */
struct kb_index_list {
        const uint32_t *at;
        uint32_t count;
};

struct kb_person {
        struct kb_person_record record;
        struct kb_index_list groups;
};

struct kb_group {
        const char *name;
        uint32_t gid;
        struct kb_index_list members;
};

struct kb_id_range kb_directory_range(const struct kb_directory *d);

/* Sorted by name. */
size_t kb_directory_people(const struct kb_directory *d, const struct kb_person **ret);
size_t kb_directory_groups(const struct kb_directory *d, const struct kb_group **ret);
size_t kb_directory_rules(const struct kb_directory *d, const struct kb_rule_record **ret);

/* NULL when there is no such. */
const struct kb_person *kb_directory_person(const struct kb_directory *d, const char *name);
const struct kb_group *kb_directory_group(const struct kb_directory *d, const char *name);

bool kb_directory_is_member(const struct kb_directory *d, const struct kb_person *person,
                            const struct kb_group *group);
