/* SPDX-License-Identifier: Apache-2.0 */
/* The kinds of value that are a number or a choice. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "helper/config/duration.h"
#include "helper/config/value_kinds.h"

/* min <= number <= max, else a refusal that names both ends. */
static int in_range(enum kb_value_kind kind, const struct kb_value_limits *limits, uint64_t number,
                    char **ret_problem)
{
        _cleanup_free_ char *min = NULL, *max = NULL;

        if (number >= limits->min && number <= limits->max)
                return 0;
        min = kb_value_format_number(kind, limits->min);
        max = kb_value_format_number(kind, limits->max);
        if (!min || !max)
                return -ENOMEM;
        return kb_value_refuse(ret_problem, "is out of range; it goes from %s to %s", min, max);
}

/* Decimal digits only: no sign, no white space. *ret_end is behind them. */
static int parse_digits(const char *text, uint64_t *ret, const char **ret_end)
{
        unsigned long long number;
        char *end;

        if (!isdigit((unsigned char)*text))
                return -EINVAL;
        errno = 0;
        number = strtoull(text, &end, 10);
        if (errno == ERANGE)
                return -ERANGE;
        *ret = number;
        *ret_end = end;
        return 0;
}

static char *format_u64(uint64_t number, const char *unit)
{
        char *text;

        return asprintf(&text, "%llu%s", (unsigned long long)number, unit) < 0 ? NULL : text;
}

/* --- duration --- */

static int duration_parse(const struct kb_value_limits *limits, const char *name, const char *text, void *to,
                          char **ret_problem)
{
        const char *at = text;
        uint64_t usec;
        int r = kb_duration_parse(text, &usec, &at);

        if (r == -ERANGE)
                usec = KB_TIME_NEVER;
        else if (r < 0 && !*at)
                return kb_value_refuse(ret_problem, "ends without a unit; use ms, s, min, h, d or w");
        else if (r < 0)
                return kb_value_refuse(ret_problem,
                                       "makes no sense as a time from \"%s\" on; use a number and "
                                       "ms, s, min, h, d or w",
                                       at);
        r = in_range(KB_VALUE_duration, limits, usec, ret_problem);
        if (r == 0)
                *(uint64_t *)to = usec;
        return r;
}

static char *duration_format(const struct kb_value_limits *limits, const void *value)
{
        char text[KB_DURATION_TEXT_MAX];

        kb_duration_format(*(const uint64_t *)value, KB_DURATION_TEXT_MAX, text);
        return strdup(text);
}

const struct kb_value_ops kb_value_duration_ops = {
        .parse = duration_parse, .format = duration_format, .size = sizeof(uint64_t)};

/* --- size --- */

static const struct {
        char letter;
        unsigned shift;
} scales[] = {{'G', 30}, {'M', 20}, {'K', 10}};

static int size_parse(const struct kb_value_limits *limits, const char *name, const char *text, void *to,
                      char **ret_problem)
{
        const char *end = text;
        uint64_t number = UINT64_MAX;
        unsigned shift = 0;
        int r = parse_digits(text, &number, &end);

        if (r == 0) {
                for (size_t i = 0; i < KB_ARRAY_SIZE(scales); i++)
                        if (*end == scales[i].letter)
                                shift = scales[i].shift;
                if (end[shift > 0])
                        r = -EINVAL;
        }
        if (r == -EINVAL)
                return kb_value_refuse(ret_problem,
                                       "is no size; use a whole number, alone or with K, M or G");
        if (r == 0)
                number = number > UINT64_MAX >> shift ? UINT64_MAX : number << shift;
        r = in_range(KB_VALUE_size, limits, number, ret_problem);
        if (r == 0)
                *(uint64_t *)to = number;
        return r;
}

static char *size_format(const struct kb_value_limits *limits, const void *value)
{
        uint64_t number = *(const uint64_t *)value;

        for (size_t i = 0; i < KB_ARRAY_SIZE(scales); i++)
                if (number > 0 && (number & ((UINT64_C(1) << scales[i].shift) - 1)) == 0)
                        return format_u64(number >> scales[i].shift, (char[]){scales[i].letter, '\0'});
        return format_u64(number, "");
}

const struct kb_value_ops kb_value_size_ops = {
        .parse = size_parse, .format = size_format, .size = sizeof(uint64_t)};

/* --- count --- */

static int count_parse(const struct kb_value_limits *limits, const char *name, const char *text, void *to,
                       char **ret_problem)
{
        uint64_t number = UINT64_MAX;
        const char *end = "";
        int r = parse_digits(text, &number, &end);

        if (r == -EINVAL || *end)
                return kb_value_refuse(ret_problem, "is no whole number");
        r = in_range(KB_VALUE_count, limits, number, ret_problem);
        if (r == 0)
                *(uint64_t *)to = number;
        return r;
}

static char *count_format(const struct kb_value_limits *limits, const void *value)
{
        return format_u64(*(const uint64_t *)value, "");
}

const struct kb_value_ops kb_value_count_ops = {
        .parse = count_parse, .format = count_format, .size = sizeof(uint64_t)};

/* --- flag --- */

static int flag_parse(const struct kb_value_limits *limits, const char *name, const char *text, void *to,
                      char **ret_problem)
{
        static const struct {
                const char *word;
                bool flag;
        } words[] = {{"yes", true}, {"true", true},   {"on", true},   {"1", true},
                     {"no", false}, {"false", false}, {"off", false}, {"0", false}};

        for (size_t i = 0; i < KB_ARRAY_SIZE(words); i++)
                if (strcmp(text, words[i].word) == 0) {
                        *(bool *)to = words[i].flag;
                        return 0;
                }
        return kb_value_refuse(ret_problem, "is neither yes nor no");
}

static char *flag_format(const struct kb_value_limits *limits, const void *value)
{
        return strdup(*(const bool *)value ? "yes" : "no");
}

const struct kb_value_ops kb_value_flag_ops = {
        .parse = flag_parse, .format = flag_format, .size = sizeof(bool)};

/* --- choice --- */

static int choice_parse(const struct kb_value_limits *limits, const char *name, const char *text, void *to,
                        char **ret_problem)
{
        unsigned number = 0;

        for (const char *word = limits->words;; number++) {
                size_t n = strcspn(word, "|");

                if (strlen(text) == n && memcmp(word, text, n) == 0) {
                        *(unsigned *)to = number;
                        return 0;
                }
                if (!word[n])
                        return kb_value_refuse(ret_problem, "is none of %s", limits->words);
                word += n + 1;
        }
}

static char *choice_format(const struct kb_value_limits *limits, const void *value)
{
        unsigned number = *(const unsigned *)value;
        const char *word = limits->words;

        for (; number > 0; number--)
                word += strcspn(word, "|") + 1;
        return strndup(word, strcspn(word, "|"));
}

const struct kb_value_ops kb_value_choice_ops = {
        .parse = choice_parse, .format = choice_format, .size = sizeof(unsigned)};

/* --- share --- */

/* "2/3", "66%", "0.66" as a share of KB_SHARE_ONE. */
static int parse_share(const char *text, uint64_t *ret)
{
        uint64_t whole, part = 0, scale = KB_SHARE_ONE;
        const char *end;
        int r = parse_digits(text, &whole, &end);

        if (r < 0 || whole > KB_SHARE_ONE)
                return -EINVAL;
        if (*end == '/') {
                uint64_t below;

                r = parse_digits(end + 1, &below, &end);
                if (r < 0 || *end || below == 0 || below > KB_SHARE_ONE)
                        return -EINVAL;
                *ret = whole * KB_SHARE_ONE / below;
                return 0;
        }
        if (*end == '.')
                for (end++; isdigit((unsigned char)*end); end++) {
                        scale /= 10;
                        part += (uint64_t)(*end - '0') * scale; /* digits past the sixth count nothing */
                }
        part += whole * KB_SHARE_ONE;
        if (*end == '%') {
                part /= 100;
                end++;
        }
        if (*end)
                return -EINVAL;
        *ret = part;
        return 0;
}

static int share_parse(const struct kb_value_limits *limits, const char *name, const char *text, void *to,
                       char **ret_problem)
{
        uint64_t share;
        int r = parse_share(text, &share);

        if (r < 0)
                return kb_value_refuse(ret_problem, "is no share; write 2/3, 0.66 or 66%%");
        r = in_range(KB_VALUE_share, limits, share, ret_problem);
        if (r == 0)
                *(uint32_t *)to = (uint32_t)share;
        return r;
}

/* As the fraction with the smallest divisor that gives the same number, else in percent. */
static char *share_format(const struct kb_value_limits *limits, const void *value)
{
        uint64_t share = *(const uint32_t *)value;
        char *text;

        for (uint64_t below = 1; below <= 20; below++) {
                uint64_t above = (share * below + KB_SHARE_ONE - 1) / KB_SHARE_ONE;

                if (above * KB_SHARE_ONE / below == share && below == 1)
                        return format_u64(above, "");
                if (above * KB_SHARE_ONE / below == share)
                        return asprintf(&text, "%llu/%llu", (unsigned long long)above,
                                        (unsigned long long)below) < 0
                                       ? NULL
                                       : text;
        }
        return asprintf(&text, "%llu.%04llu%%", (unsigned long long)(share / 10000),
                        (unsigned long long)(share % 10000)) < 0
                       ? NULL
                       : text;
}

const struct kb_value_ops kb_value_share_ops = {
        .parse = share_parse, .format = share_format, .size = sizeof(uint32_t)};

/* --- id_range --- */

static int id_range_parse(const struct kb_value_limits *limits, const char *name, const char *text, void *to,
                          char **ret_problem)
{
        struct kb_id_range range;
        uint64_t first, last;
        const char *end;
        int r = parse_digits(text, &first, &end);

        if (r == 0)
                r = *end == '-' ? parse_digits(end + 1, &last, &end) : -EINVAL;
        if (r < 0 || *end)
                return kb_value_refuse(ret_problem,
                                       "is no range of ids; write FIRST-LAST, for example 65536-99999");
        if (first < limits->min || last > limits->max)
                return kb_value_refuse(ret_problem, "leaves the ids that may be ours, %llu to %llu",
                                       (unsigned long long)limits->min, (unsigned long long)limits->max);
        if (last < first)
                return kb_value_refuse(ret_problem, "ends before it begins; the smaller id comes first");
        range = (struct kb_id_range){(uint32_t)first, (uint32_t)last};
        if (!kb_id_range_valid(range))
                return kb_value_refuse(ret_problem, "holds ids that belong to the system, or to nobody");
        *(struct kb_id_range *)to = range;
        return 0;
}

static char *id_range_format(const struct kb_value_limits *limits, const void *value)
{
        const struct kb_id_range *range = value;
        char *text;

        return asprintf(&text, "%u-%u", range->min, range->max) < 0 ? NULL : text;
}

const struct kb_value_ops kb_value_id_range_ops = {
        .parse = id_range_parse, .format = id_range_format, .size = sizeof(struct kb_id_range)};
