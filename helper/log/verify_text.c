/* SPDX-License-Identifier: Apache-2.0 */
/* What verify found, for a person. */
#include <inttypes.h>

#include "helper/log/files.h"
#include "helper/log/verify.h"

static const struct {
        const char *word, *text;
} problems[KB_VERIFY_PROBLEMS] = {
        [KB_VERIFY_DAMAGED] = {"damaged", "these bytes are no record: damaged, or overwritten"},
        [KB_VERIFY_CHAIN] = {"chain",
                             "this record does not follow the one before it: one of the two was altered"},
        [KB_VERIFY_GAP] = {"gap", "records are missing here, or stand in the wrong place"},
        [KB_VERIFY_BEGINNING] = {"beginning",
                                 "the first records are missing, and nothing says that they were removed"},
        [KB_VERIFY_OTHER_LOG] = {"other-log", "this belongs to another log"},
        [KB_VERIFY_ANCHOR_NUMBER] = {"anchor-number", "an anchor before this one is missing"},
        [KB_VERIFY_ANCHOR_MAC] =
                {"anchor-mac", "this anchor does not fit the first key: what is before it was written anew"},
        [KB_VERIFY_KEY_FILE] = {"key-file",
                                "the key of the next anchor is missing, or is not what it should be by now"},
        [KB_VERIFY_KEY_AHEAD] = {"key-ahead",
                                 "the key has moved on for anchors that are not here: the end was cut off"},
        [KB_VERIFY_KEPT_MISSING] = {"kept-missing",
                                    "the log ends before an anchor that was kept: the end was cut off"},
        [KB_VERIFY_KEPT_DIFFERS] = {"kept-differs",
                                    "an anchor that was kept says that something else stood here"},
};

const char *kb_verify_problem_word(enum kb_verify_problem problem)
{
        return problem < KB_VERIFY_PROBLEMS ? problems[problem].word : "unknown";
}

const char *kb_verify_problem_text(enum kb_verify_problem problem)
{
        return problem < KB_VERIFY_PROBLEMS ? problems[problem].text : "unknown";
}

static void print_finding(const struct kb_verify_finding *f, FILE *to)
{
        char name[KB_LOG_NAME_MAX];

        if (f->file > 0) {
                kb_log_file_name(f->file, name);
                fprintf(to, "%s, byte %" PRIu64 ": ", name, f->offset);
        }
        fputs(kb_verify_problem_text(f->problem), to);
        if (f->sequence > 0)
                fprintf(to, " (record %" PRIu64 " or later)", f->sequence);
        fputc('\n', to);
}

static void print_bound(const struct kb_verify_result *r, FILE *to)
{
        bool by_kept = r->by_kept >= r->by_key && r->by_kept > 0;

        if (r->proven > 0)
                fprintf(to,
                        "Proven: records %" PRIu64 " to %" PRIu64 " are complete and unaltered, by %s.\n"
                        "Not proven: anything after record %" PRIu64
                        ". Whoever had root since then could rewrite it or "
                        "cut it off.\n",
                        r->first, r->proven, by_kept ? "an anchor that was kept elsewhere" : "the first key",
                        r->proven);
        else if (r->with_key || r->with_kept)
                fprintf(to, "Proven: nothing. No anchor fits %s.\n",
                        r->with_key ? "the first key" : "one that was kept elsewhere");
        else
                fprintf(to, "Proven: nothing against somebody with root, who can make chain and checksums "
                            "anew. That needs "
                            "the first key,\nas setup showed it, or an anchor that was kept elsewhere.\n");
}

void kb_verify_print(const struct kb_verify_result *r, FILE *to)
{
        fprintf(to,
                "%" PRIu64 " record%s in %" PRIu64 " file%s, %" PRIu64 " to %" PRIu64 ", with %" PRIu64
                " anchor%s.\n",
                r->records, KB_S(r->records), r->files, KB_S(r->files), r->first, r->last, r->anchors,
                KB_S(r->anchors));
        if (r->trimmed > 0)
                fprintf(to, "Records 1 to %" PRIu64 " were removed, as Keep= says.\n", r->trimmed);
        if (r->torn > 0)
                fprintf(to, "An unfinished record is at the end: %" PRIu64 " byte%s of it.\n", r->torn,
                        KB_S(r->torn));
        for (size_t i = 0; i < r->n_findings && i < KB_VERIFY_FINDINGS_MAX; i++)
                print_finding(&r->findings[i], to);
        if (r->n_findings > KB_VERIFY_FINDINGS_MAX)
                fprintf(to, "and %zu more like these\n", r->n_findings - KB_VERIFY_FINDINGS_MAX);
        if (r->n_findings == 0)
                fprintf(to, "Checksums and chain are whole.\n");
        print_bound(r, to);
}
