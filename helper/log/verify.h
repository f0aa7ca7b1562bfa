/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What can be proven about a log, and up to which record. The attacker is root, with the log, the disk and
 * this source code: he can alter, remove, swap and add records and make checksums and chain right again.
 * What he cannot make again:
 *
 *   - an anchor from before he came, because its key is gone (needs the first key to check);
 *   - a line with an anchor that was kept where he could not reach it.
 *
 * Without either, only accidents are found, and the result says so. What came after the last anchor can have
 * been rewritten or cut by whoever had root since then: nobody can tell.
 */

#include <stdbool.h>
#include <stdio.h>

#include "helper/log/anchor.h"

enum kb_verify_problem {
        KB_VERIFY_DAMAGED,       /* bytes that are no record */
        KB_VERIFY_CHAIN,         /* a record does not follow the one before it */
        KB_VERIFY_GAP,           /* sequence numbers are missing */
        KB_VERIFY_BEGINNING,     /* the first files are missing, and no record says that they were removed */
        KB_VERIFY_OTHER_LOG,     /* a file, key or anchor belongs to another log */
        KB_VERIFY_ANCHOR_NUMBER, /* anchors are missing in between */
        KB_VERIFY_ANCHOR_MAC,    /* an anchor does not fit the first key: what is before it was rewritten */
        KB_VERIFY_KEY_FILE,      /* the key file is missing, or not what the first key became */
        KB_VERIFY_KEY_AHEAD,     /* the key moved on for anchors that are not there: the end was cut */
        KB_VERIFY_KEPT_MISSING,  /* the log ends before a kept anchor: the end was cut */
        KB_VERIFY_KEPT_DIFFERS,  /* the log is not the one that this kept anchor was taken from */
        KB_VERIFY_PROBLEMS
};

struct kb_verify_finding {
        enum kb_verify_problem problem;
        uint64_t file;     /* first sequence number in its name, 0 when it is about no file */
        uint64_t offset;   /* byte in it */
        uint64_t sequence; /* nothing before this record is touched by it; 0: it is about no record that is
                              there */
};

#define KB_VERIFY_FINDINGS_MAX 32

struct kb_verify_result {
        uint64_t files, records;
        uint64_t first, last; /* sequence numbers; 0 when there is no record */
        uint64_t trimmed;     /* records before `first` that were removed as Keep= says, 0: none */
        uint64_t torn;        /* bytes of an unfinished record at the end: the writer is at work, or died */
        uint64_t anchors;
        bool with_key, with_kept;
        uint64_t by_key;  /* records up to here are proven by the first key, 0: none */
        uint64_t by_kept; /* and by a kept anchor, 0: none */
        uint64_t proven;  /* the greater of the two, but never behind a finding */
        struct kb_verify_finding findings[KB_VERIFY_FINDINGS_MAX];
        size_t n_findings; /* more are only counted */
};

struct kb_verify_options {
        const char *first_key;        /* the line that setup showed, or NULL */
        const struct kb_anchor *kept; /* anchors kept elsewhere */
        size_t n_kept;
};

/*
 * 0 when everything could be looked at; what was found is in the result. -ENOENT: there is no log. -EINVAL:
 * the first key is no such line. Another negative errno when reading failed. The log may be in use.
 */
int kb_verify(const char *dir, const struct kb_verify_options *options, struct kb_verify_result *ret);

/* "chain", for --json; and a sentence. */
const char *kb_verify_problem_word(enum kb_verify_problem problem);
const char *kb_verify_problem_text(enum kb_verify_problem problem);

/* Findings, then what is proven and what cannot be: for a person. */
void kb_verify_print(const struct kb_verify_result *result, FILE *to);
