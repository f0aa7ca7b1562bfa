/* SPDX-License-Identifier: Apache-2.0 */
#include "directory/files_db.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_MAX ((off_t)64 * 1024 * 1024)

struct kb_files_db {
        char *texts[2]; /* the files, cut into strings where they lie */
        const char **names;
        size_t n_names;
        uint32_t *ids;
        size_t n_ids;
};

/* The whole file with a NUL behind it, and none inside: what follows one must not escape us. */
static int read_file(const char *path, char **ret)
{
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        _cleanup_free_ char *text = NULL;
        struct stat st;
        size_t size = 0;

        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -EINVAL;
        if (st.st_size > FILE_MAX)
                return -EFBIG;
        text = malloc((size_t)st.st_size + 1);
        if (!text)
                return -ENOMEM;
        while (size < (size_t)st.st_size) {
                ssize_t n = read(fd, text + size, (size_t)st.st_size - size);

                if (n < 0 && errno != EINTR)
                        return -errno;
                if (n == 0)
                        break;
                size += n > 0 ? (size_t)n : 0;
        }
        for (char *nul = text; (nul = memchr(nul, '\0', (size_t)(text + size - nul)));)
                *nul = '\n';
        text[size] = '\0';
        *ret = take_ptr(text);
        return 0;
}

/* Digits only, and no more than 32 bits of them: what files' own parser would take too. */
static bool parse_id(const char *text, uint32_t *ret)
{
        uint64_t value = 0;

        if (text[0] < '0' || text[0] > '9')
                return false;
        for (; *text >= '0' && *text <= '9'; text++) {
                value = value * 10 + (uint64_t)(*text - '0');
                if (value > UINT32_MAX)
                        return false;
        }
        *ret = (uint32_t)value;
        return true;
}

/* name:password:id[:gid]... Takes the name, the id and, in passwd, the gid behind it. */
static void add_line(struct kb_files_db *db, char *line, unsigned n_ids)
{
        char *field, *end;

        line += strspn(line, " \t"); /* glibc does that too */
        line[strcspn(line, "\n")] = '\0';
        if (line[0] == '\0' || line[0] == '#')
                return;
        field = line;
        for (unsigned i = 0; field && i < 2 + n_ids; i++, field = end) {
                end = strchr(field, ':');
                if (i >= 2 && parse_id(field, &db->ids[db->n_ids]))
                        db->n_ids++;
                if (end)
                        *end++ = '\0';
        }
        db->names[db->n_names++] = line;
}

static size_t count_lines(const char *text)
{
        size_t n = 1;

        for (; (text = strchr(text, '\n')); text++)
                n++;
        return n;
}

static int compare_names(const void *a, const void *b)
{
        return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int compare_ids(const void *a, const void *b)
{
        uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

        return (x > y) - (x < y);
}

static int index_lines(struct kb_files_db *db)
{
        static const unsigned ids_in_line[] = {2, 1};
        size_t lines = count_lines(db->texts[0]) + count_lines(db->texts[1]);

        db->names = calloc(lines, sizeof(*db->names));
        db->ids = calloc(2 * lines, sizeof(*db->ids));
        if (!db->names || !db->ids)
                return -ENOMEM;
        for (unsigned i = 0; i < 2; i++)
                for (char *line = db->texts[i], *next; line; line = next) {
                        next = strchr(line, '\n');
                        if (next)
                                next++;
                        add_line(db, line, ids_in_line[i]);
                }
        qsort(db->names, db->n_names, sizeof(*db->names), compare_names);
        qsort(db->ids, db->n_ids, sizeof(*db->ids), compare_ids);
        return 0;
}

int kb_files_db_load(struct kb_files_db **ret, const char *passwd_path, const char *group_path)
{
        _cleanup_(kb_files_db_freep) struct kb_files_db *db = calloc(1, sizeof(*db));
        int r;

        if (!db)
                return -ENOMEM;
        r = read_file(passwd_path, &db->texts[0]);
        if (r < 0)
                return r;
        r = read_file(group_path, &db->texts[1]);
        if (r == -ENOENT) {
                db->texts[1] = strdup("");
                r = db->texts[1] ? 0 : -ENOMEM;
        }
        if (r < 0)
                return r;
        r = index_lines(db);
        if (r < 0)
                return r;
        *ret = take_ptr(db);
        return 0;
}

void kb_files_db_free(struct kb_files_db *db)
{
        if (!db)
                return;
        free(db->texts[0]);
        free(db->texts[1]);
        free(db->names);
        free(db->ids);
        free(db);
}

bool kb_files_db_has_name(const struct kb_files_db *db, const char *name)
{
        return bsearch(&name, db->names, db->n_names, sizeof(*db->names), compare_names);
}

bool kb_files_db_has_id(const struct kb_files_db *db, uint32_t id)
{
        return bsearch(&id, db->ids, db->n_ids, sizeof(*db->ids), compare_ids);
}
