/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/local/attribute.h"

#include <string.h>

#include "common/names.h"
#include "helper/store/local/object.h"

static const struct kb_attribute *find(const struct kb_attribute *table, size_t n, const char *name)
{
        for (size_t i = 0; i < n; i++)
                if (strcmp(table[i].name, name) == 0)
                        return &table[i];
        return NULL;
}

static bool twice(struct kb_list changes, const char *name)
{
        struct kb_span unused;
        const char *other;
        unsigned n = 0;

        while (kb_list_next_pair(&changes, &other, &unused))
                n += strcmp(other, name) == 0;
        return n > 1;
}

enum kb_error kb_attributes_check(const struct kb_attribute *table, size_t n, struct kb_list changes,
                                  struct kb_problem *problem)
{
        struct kb_list rest = changes;
        struct kb_span value;
        const char *name, *text = "";

        while (kb_list_next_pair(&rest, &name, &value)) {
                const struct kb_attribute *row = find(table, n, name);

                if (!row)
                        return kb_problem(problem, KB_E_BAD_REQUEST, "%.64s is not known here", name);
                if (twice(changes, name))
                        return kb_problem(problem, KB_E_BAD_REQUEST, "%s is given twice", name);
                if (!kb_list_find_string(changes, name, &text) || (text[0] && !row->valid(text)))
                        return kb_problem(problem, KB_E_BAD_REQUEST, "%s is %s", name, row->what);
        }
        return KB_E_OK;
}

const char *kb_attribute_preset(const struct kb_attribute *table, size_t n, const char *name)
{
        const struct kb_attribute *row = find(table, n, name);

        return row ? row->preset : NULL;
}

bool kb_attribute_yes_no(const char *value)
{
        return strcmp(value, "yes") == 0 || strcmp(value, "no") == 0;
}

static const struct {
        const char *unit;
        uint64_t seconds;
} units[] = {
        {"", 1}, {"s", 1}, {"min", 60}, {"h", 3600}, {"d", 86400}, {"w", 7 * 86400},
};

uint64_t kb_duration_seconds(const char *value)
{
        size_t digits = strspn(value, "0123456789");
        char number[21];
        uint64_t n;

        if (digits == 0 || digits > 10)
                return 0;
        memcpy(number, value, digits);
        number[digits] = '\0';
        if (!kb_parse_number(number, &n))
                return 0;
        for (size_t i = 0; i < KB_ARRAY_SIZE(units); i++)
                if (strcmp(units[i].unit, value + digits) == 0)
                        return n * units[i].seconds;
        return 0;
}

bool kb_attribute_duration(const char *value)
{
        return kb_duration_seconds(value) > 0;
}

bool kb_attribute_words(const char *value)
{
        return kb_text_valid(value) && strlen(value) <= 4096;
}

bool kb_next_word(const char **at, char *ret, size_t size)
{
        const char *from = *at + strspn(*at, ", ");
        size_t n = strcspn(from, ", ");

        *at = from + n;
        if (n == 0)
                return false;
        if (n >= size)
                n = 0;
        memcpy(ret, from, n);
        ret[n] = '\0';
        return true;
}
