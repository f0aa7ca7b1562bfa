/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The directory as an administrator writes it, keybearer-directory(5): sections of people, groups and rules.
 * It is not read with libinih as settings are: a section may be empty here, a line as long as it likes, and
 * there may be a hundred thousand of them.
 *
 * Ids may be left out: those of the directory before are taken over, and new ones are such that nobody ever
 * had. So the tombstones of that directory belong to the new one too, and everybody who is gone gets one.
 */

#include "cli/cli.h"
#include "common/wire.h"
#include "directory/document.h"

struct cli_directory;

/* Reads a file; "-" is stdin. 0, or an exit status after everything that is wrong was said. */
int cli_directory_read(const struct cli *cli, const char *path, struct cli_directory **ret);
void cli_directory_free(struct cli_directory *d);
KB_DEFINE_CLEANUP(struct cli_directory, cli_directory_free);

const char *cli_directory_cluster(const struct cli_directory *d);
uint64_t cli_directory_not_after(const struct cli_directory *d, uint64_t now);

/*
 * The records of a new document that follows `before` (records; empty: none). 0, or an exit status after it
 * was said what is wrong.
 */
int cli_directory_build(const struct cli *cli, struct cli_directory *d, struct kb_span before,
                        struct kb_writer *ret);

/* How many of each; as text, as cli_directory_read() reads it. */
struct cli_directory_count {
        size_t of[5]; /* by enum kb_record_kind */
};
struct cli_directory_count cli_directory_count(struct kb_span records);
void cli_directory_print(FILE *to, const char *cluster, struct kb_span records);

/* Takes the next record off: its kind, its name (of a tombstone: its id), and its bytes. */
struct cli_record {
        uint32_t kind;
        char name[KB_CREDENTIAL_NAME_MAX + 1];
        struct kb_span bytes; /* of the fields */
};
bool cli_record_next(struct kb_span *records, struct cli_record *ret);
const char *cli_record_kind(uint32_t kind);
