/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/local/ids.h"

#include <errno.h>
#include <string.h>

#include "directory/files_db.h"

bool kb_ids_parse_range(const char *text, struct kb_id_range *ret)
{
        struct kb_id_range range = {KB_ID_MIN_DEFAULT, KB_ID_MAX_DEFAULT};
        const char *dash = strchr(text, '-');
        char first[11];
        uint64_t min, max;

        if (text[0]) {
                if (!dash || dash - text >= (long)sizeof(first))
                        return false;
                memcpy(first, text, (size_t)(dash - text));
                first[dash - text] = '\0';
                if (!kb_parse_number(first, &min) || !kb_parse_number(dash + 1, &max) || min > UINT32_MAX ||
                    max > UINT32_MAX)
                        return false;
                range = (struct kb_id_range){(uint32_t)min, (uint32_t)max};
        }
        if (!kb_id_range_valid(range))
                return false;
        *ret = range;
        return true;
}

/* The lowest id of the range that is neither in the table nor in the files; 0: none. */
static int lowest_free(struct kb_local *l, struct kb_id_range range, const struct kb_files_db *files,
                       uint32_t *ret)
{
        _cleanup_query_ struct kb_query q = {};
        uint64_t id = range.min;
        int r;

        r = kb_db_query(l->db, &q, "SELECT id FROM ids WHERE id BETWEEN ? AND ? ORDER BY id", "uu",
                        (uint64_t)range.min, (uint64_t)range.max);
        if (r >= 0)
                r = kb_query_next(&q);
        for (; r >= 0 && id <= range.max; id++) {
                bool taken = r > 0 && kb_query_u64(&q, 0) == id;

                if (!taken && !kb_files_db_has_id(files, (uint32_t)id))
                        break;
                if (taken)
                        r = kb_query_next(&q);
        }
        if (r >= 0)
                *ret = id <= range.max ? (uint32_t)id : 0;
        return r;
}

static enum kb_error check_wish(struct kb_local *l, struct kb_id_range range,
                                const struct kb_files_db *files, uint32_t id, struct kb_problem *problem)
{
        uint64_t n;
        int r;

        if (!kb_id_in_range(range, id))
                return kb_problem(problem, KB_E_BAD_REQUEST, "id %u is outside of %u-%u", id, range.min,
                                  range.max);
        if (kb_files_db_has_id(files, id))
                return kb_problem(problem, KB_E_CONFLICT, "/etc/passwd or /etc/group of this host has id %u",
                                  id);
        r = kb_db_number(l->db, &n, "SELECT count(*) FROM ids WHERE id = ?", "u", (uint64_t)id);
        if (r < 0)
                return kb_problem_errno(problem, r, "looking for the id");
        if (n > 0)
                return kb_problem(problem, KB_E_CONFLICT,
                                  "id %u is, or was, somebody's: ids are never used again", id);
        return KB_E_OK;
}

/* People and groups share their names too: each person has a group of the same name. */
static enum kb_error check_name(struct kb_local *l, const struct kb_files_db *files, const char *name,
                                struct kb_problem *problem)
{
        uint64_t n;
        int r;

        if (kb_files_db_has_name(files, name))
                return kb_problem(problem, KB_E_CONFLICT,
                                  "/etc/passwd or /etc/group of this host has the name %s", name);
        r = kb_db_number(l->db, &n, "SELECT count(*) FROM ids WHERE name = ? AND gone = 0", "s", name);
        if (r < 0)
                return kb_problem_errno(problem, r, "looking for the name");
        return n > 0 ? kb_problem(problem, KB_E_CONFLICT, "there is a person or group %s already", name)
                     : KB_E_OK;
}

enum kb_error kb_ids_take(struct kb_local *l, const char *kind, const char *name, struct kb_id_range range,
                          uint32_t wished, uint32_t *ret, struct kb_problem *problem)
{
        _cleanup_(kb_files_db_freep) struct kb_files_db *files = NULL;
        uint32_t id = wished;
        enum kb_error error;
        int r = kb_files_db_load(&files, "/etc/passwd", "/etc/group");

        if (r < 0)
                return kb_problem_errno(problem, r, "reading /etc/passwd");
        error = check_name(l, files, name, problem);
        if (error == KB_E_OK && wished != 0)
                error = check_wish(l, range, files, wished, problem);
        if (error != KB_E_OK)
                return error;
        r = wished ? 0 : lowest_free(l, range, files, &id);
        if (r >= 0 && id == 0)
                return kb_problem(problem, KB_E_CONFLICT, "no id is left between %u and %u", range.min,
                                  range.max);
        if (r >= 0)
                r = kb_db_run(l->db, "INSERT INTO ids (id, kind, name) VALUES (?, ?, ?)", "uss",
                              (uint64_t)id, kind, name);
        if (r < 0)
                return kb_problem_errno(problem, r, "taking an id");
        *ret = id;
        return KB_E_OK;
}

int kb_ids_bury(struct kb_local *l, const char *kind, const char *name, uint64_t now)
{
        return kb_db_run(l->db, "UPDATE ids SET gone = ? WHERE kind = ? AND name = ? AND gone = 0", "uss",
                         now, kind, name);
}
