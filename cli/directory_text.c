/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/directory_text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli/files.h"
#include "common/clock.h"
#include "helper/config/duration.h"

#define TEXT_MAX (64 * 1024 * 1024)
#define KEYS_MAX 8

/* --- what a section may say --- */

enum form { ONE, WORDS };

struct key {
        const char *name;
        enum form form;
};

/* By enum kb_record_kind; 0 is the document itself. */
static const struct {
        const char *section, *word;
        struct key keys[KEYS_MAX];
} kinds[] = {
        {"Directory", "directory", {{"Cluster", ONE}, {"IdRange", ONE}, {"ValidFor", ONE}}},
        {"Person",
         "person",
         {{"Id", ONE},
          {"FullName", ONE},
          {"Home", ONE},
          {"Shell", ONE},
          {"Auth", ONE},
          {"Password", ONE},
          {"Disabled", ONE},
          {"Expires", ONE}}},
        {"Group", "group", {{"Id", ONE}, {"Members", WORDS}}},
        {"Rule",
         "rule",
         {{"Who", WORDS},
          {"Host", WORDS},
          {"Service", WORDS},
          {"Factor", WORDS},
          {"From", ONE},
          {"Until", ONE},
          {"For", ONE}}},
        {"Tombstone", "tombstone", {{"Name", ONE}}},
};
enum { CLUSTER, ID_RANGE, VALID_FOR };
enum { PERSON_ID, FULL_NAME, HOME, SHELL, AUTH, PASSWORD, DISABLED, EXPIRES };
enum { GROUP_ID, MEMBERS };
enum { WHO, HOST, SERVICE, FACTOR, FROM, UNTIL, FOR };
enum { TOMBSTONE_NAME };

/* One section. */
struct entry {
        uint32_t kind;
        unsigned line;
        char *name;
        char *values[KEYS_MAX];
        uint32_t id; /* 0: none yet */
};

struct cli_directory {
        char *path;
        struct entry whole;
        struct entry *entries;
        size_t n, room;
        struct kb_id_range range;
        uint64_t valid_usec;
};

static void entry_done(struct entry *e)
{
        free(e->name);
        for (size_t i = 0; i < KEYS_MAX; i++)
                free(e->values[i]);
}

void cli_directory_free(struct cli_directory *d)
{
        if (!d)
                return;
        entry_done(&d->whole);
        for (size_t i = 0; i < d->n; i++)
                entry_done(&d->entries[i]);
        free(d->entries);
        free(d->path);
        free(d);
}

static const char *value_of(const struct entry *e, unsigned key, const char *otherwise)
{
        return e->values[key] ? e->values[key] : otherwise;
}

/* --- values --- */

static bool parse_number(const char *text, uint32_t *ret)
{
        char *end;
        unsigned long n;

        if (text[0] < '0' || text[0] > '9')
                return false;
        errno = 0;
        n = strtoul(text, &end, 10);
        if (errno || *end || n == 0 || n > UINT32_MAX)
                return false;
        *ret = (uint32_t)n;
        return true;
}

/* "2027-01-31" or "2027-01-31 18:30:00", UTC. */
static bool parse_date(const char *text, uint64_t *ret)
{
        struct tm tm = {0};
        const char *end = strptime(text, "%Y-%m-%d %H:%M:%S", &tm);
        time_t t;

        if (!end) {
                tm = (struct tm){0};
                end = strptime(text, "%Y-%m-%d", &tm);
        }
        t = end && !*end ? timegm(&tm) : -1;
        if (t < 0)
                return false;
        *ret = (uint64_t)t * KB_USEC_PER_SEC;
        return true;
}

static void format_date(uint64_t usec, char ret[32])
{
        time_t t = (time_t)(usec / KB_USEC_PER_SEC);
        struct tm tm;

        if (!gmtime_r(&t, &tm) || strftime(ret, 32, "%Y-%m-%d %H:%M:%S", &tm) == 0)
                ret[0] = '\0';
}

static const struct {
        const char *word;
        uint32_t factor;
} factors[] = {{"key", KB_FACTOR_KEY}, {"password", KB_FACTOR_PASSWORD}, {"otp", KB_FACTOR_OTP}};

static bool parse_factor(const char *word, uint32_t *all)
{
        for (size_t i = 0; i < KB_ARRAY_SIZE(factors); i++)
                if (strcmp(factors[i].word, word) == 0) {
                        *all |= factors[i].factor;
                        return true;
                }
        return false;
}

static bool parse_flag(const char *text, bool *ret)
{
        *ret = strcmp(text, "yes") == 0;
        return *ret || strcmp(text, "no") == 0;
}

/* --- reading --- */

struct reading {
        const struct cli *cli;
        struct cli_directory *d;
        struct entry *at; /* the section */
        int key;          /* that a further line goes on with; -1: none */
        unsigned line, wrong;
};

static void complain(struct reading *r, const char *format, ...) _printf_(2, 3);
static void complain(struct reading *r, const char *format, ...)
{
        _cleanup_free_ char *text = NULL;
        va_list arguments;

        va_start(arguments, format);
        text = cli_vformat(format, arguments);
        va_end(arguments);
        if (r->wrong++ < 20)
                cli_fail(r->cli, KB_E_BAD_REQUEST, "%s:%u: %s", r->d->path, r->line, text);
}

static struct entry *entry_new(struct cli_directory *d)
{
        if (d->n == d->room) {
                size_t room = d->room ? 2 * d->room : 256;
                struct entry *more = reallocarray(d->entries, room, sizeof(*more));

                if (!more)
                        return NULL;
                d->entries = more;
                d->room = room;
        }
        d->entries[d->n] = (struct entry){0};
        return &d->entries[d->n++];
}

static uint32_t kind_of(const char *section)
{
        for (uint32_t i = 1; i < KB_ARRAY_SIZE(kinds); i++)
                if (strcmp(kinds[i].section, section) == 0)
                        return i;
        return 0;
}

/* "[Person ana]", without the brackets. */
static void begin_section(struct reading *r, char *text)
{
        char *name = text + strcspn(text, " ");
        struct entry *e;

        r->key = -1;
        r->at = NULL;
        if (strcmp(text, "Directory") == 0) {
                r->at = &r->d->whole;
                return;
        }
        if (*name) {
                *name++ = '\0';
                name += strspn(name, " ");
        }
        if (kind_of(text) == 0 || !*name) {
                complain(r,
                         "[%s] is none of [Directory], [Person NAME], [Group NAME], [Rule NAME], "
                         "[Tombstone ID]",
                         text);
                return;
        }
        e = entry_new(r->d);
        if (!e) {
                complain(r, "memory is out");
                return;
        }
        e->kind = kind_of(text);
        e->line = r->line;
        e->name = cli_format("%s", name);
        if (e->kind == KB_RECORD_tombstone && !parse_number(name, &e->id))
                complain(r, "\"%s\" is no id", name);
        r->at = e;
}

static void append(char **value, const char *more)
{
        char *longer = cli_format("%s%s%s", *value ? *value : "", *value && **value ? " " : "", more);

        free(*value);
        *value = longer;
}

static void take_key(struct reading *r, const char *name, const char *value)
{
        const struct key *keys = kinds[r->at->kind].keys;

        for (int i = 0; i < KEYS_MAX && keys[i].name; i++) {
                if (strcmp(keys[i].name, name) != 0)
                        continue;
                if (r->at->values[i] && keys[i].form == ONE)
                        complain(r, "%s= is given twice", name);
                else
                        append(&r->at->values[i], value);
                r->key = keys[i].form == WORDS ? i : -1;
                return;
        }
        complain(r, "[%s] has no %s=", kinds[r->at->kind].section, name);
}

static char *trimmed(char *text)
{
        size_t n;

        text += strspn(text, " \t");
        for (n = strlen(text); n > 0 && strchr(" \t\r", text[n - 1]); n--)
                text[n - 1] = '\0';
        return text;
}

static void take_line(struct reading *r, char *line)
{
        bool further = line[0] == ' ' || line[0] == '\t';
        char *text = trimmed(line), *equal = strchr(text, '=');
        size_t n = strlen(text);

        if (n == 0 || text[0] == '#' || text[0] == ';')
                return;
        if (!kb_text_valid(text))
                complain(r, "there is something that is no text");
        else if (further && r->key >= 0)
                append(&r->at->values[r->key], text);
        else if (text[0] == '[' && text[n - 1] == ']') {
                text[n - 1] = '\0';
                begin_section(r, text + 1);
        } else if (further || !equal || !r->at) {
                if (further || !equal || r->wrong == 0) /* else it was said of its section */
                        complain(r, "this is no [Section], and no Key=value of one");
        } else {
                *equal = '\0';
                take_key(r, trimmed(text), trimmed(equal + 1));
        }
}

/* What concerns the document itself. */
static void check_whole(struct reading *r)
{
        struct cli_directory *d = r->d;
        const char *range = value_of(&d->whole, ID_RANGE, NULL),
                   *valid = value_of(&d->whole, VALID_FOR, NULL), *at;
        unsigned min, max;
        char end;

        r->line = 1;
        d->range = (struct kb_id_range){KB_ID_MIN_DEFAULT, KB_ID_MAX_DEFAULT};
        d->valid_usec = KB_TIME_NEVER;
        if (!kb_name_word_valid(cli_directory_cluster(d)))
                complain(r, "Cluster= in [Directory] has to name the cluster: letters, digits, '_', '-'");
        if (range && sscanf(range, "%u-%u%c", &min, &max, &end) == 2)
                d->range = (struct kb_id_range){min, max};
        else if (range)
                complain(r, "IdRange= in [Directory] is two ids joined by '-'");
        if (!kb_id_range_valid(d->range))
                complain(r, "IdRange= in [Directory] has ids that belong to others");
        if (valid && (kb_duration_parse(valid, &d->valid_usec, &at) < 0 || d->valid_usec == 0))
                complain(r, "ValidFor= in [Directory] is a time: 30d, infinity");
}

/* Whole text, NUL behind. */
static int read_text(const struct cli *cli, const char *path, char **ret)
{
        _cleanup_fclose_ FILE *f =
                strcmp(path, "-") == 0 ? fdopen(dup(STDIN_FILENO), "re") : fopen(path, "re");
        _cleanup_free_ char *text = NULL;
        size_t room = 0;
        ssize_t n = 0;

        if (f)
                n = getdelim(&text, &room, '\0', f);
        if (!f || (n < 0 && ferror(f)))
                return cli_fail(cli, KB_E_NOT_FOUND, "%s: %s", path, strerror(errno));
        if (n > TEXT_MAX || (n > 0 && (size_t)n != strlen(text)))
                return cli_fail(cli, KB_E_BAD_REQUEST, "%s is too long, or has a NUL in it", path);
        *ret = n > 0 ? take_ptr(text) : cli_format("%s", "");
        return 0;
}

int cli_directory_read(const struct cli *cli, const char *path, struct cli_directory **ret)
{
        _cleanup_(cli_directory_freep) struct cli_directory *d = calloc(1, sizeof(*d));
        struct reading r = {.cli = cli, .d = d, .key = -1};
        _cleanup_free_ char *text = NULL;
        char *rest, *line;
        int status = d ? read_text(cli, path, &text) : cli_fail(cli, KB_E_INTERNAL, "memory is out");

        if (status != 0)
                return status;
        d->path = cli_format("%s", path);
        rest = text;
        while ((line = strsep(&rest, "\n"))) {
                r.line++;
                take_line(&r, line);
        }
        check_whole(&r);
        if (r.wrong > 20)
                cli_fail(cli, KB_E_BAD_REQUEST, "and %u more problems", r.wrong - 20);
        if (r.wrong > 0)
                return kb_error_exit_status(KB_E_BAD_REQUEST);
        *ret = take_ptr(d);
        return 0;
}

const char *cli_directory_cluster(const struct cli_directory *d)
{
        return value_of(&d->whole, CLUSTER, "");
}

uint64_t cli_directory_not_after(const struct cli_directory *d, uint64_t now)
{
        return kb_time_add(now, d->valid_usec);
}

/* --- records as they are --- */

const char *cli_record_kind(uint32_t kind)
{
        return kind > 0 && kind < KB_ARRAY_SIZE(kinds) ? kinds[kind].word : "record";
}

bool cli_record_next(struct kb_span *records, struct cli_record *ret)
{
        struct kb_reader all = kb_reader_init(*records), one;
        struct kb_span record = kb_read_bytes(&all, records->size);
        struct kb_span name;

        if (records->size == 0 || all.failed)
                return false;
        *records = KB_SPAN(all.at, all.left);
        one = kb_reader_init(record);
        *ret = (struct cli_record){.kind = kb_read_u32(&one)};
        ret->bytes = KB_SPAN(one.at, one.left);
        if (ret->kind == KB_RECORD_tombstone)
                snprintf(ret->name, sizeof(ret->name), "%u", kb_read_u32(&one));
        else {
                name = kb_read_bytes(&one, KB_CREDENTIAL_NAME_MAX);
                snprintf(ret->name, sizeof(ret->name), "%.*s", (int)name.size, (const char *)name.data);
        }
        return !one.failed;
}

struct cli_directory_count cli_directory_count(struct kb_span records)
{
        struct cli_directory_count count = {0};
        struct cli_record record;

        while (cli_record_next(&records, &record))
                if (record.kind < KB_ARRAY_SIZE(count.of))
                        count.of[record.kind]++;
        return count;
}

/* The id and, of a tombstone, whose it was. False: it has none. */
static bool id_of(const struct cli_record *record, uint32_t *ret, const char **ret_name)
{
        struct kb_person_record person;
        struct kb_group_record group;
        struct kb_tombstone_record tombstone;

        *ret_name = record->name;
        if (record->kind == KB_RECORD_person && kb_person_record_get(record->bytes, &person) == 0)
                *ret = person.uid;
        else if (record->kind == KB_RECORD_group && kb_group_record_get(record->bytes, &group) == 0)
                *ret = group.gid;
        else if (record->kind == KB_RECORD_tombstone &&
                 kb_tombstone_record_get(record->bytes, &tombstone) == 0) {
                *ret = tombstone.id;
                *ret_name = tombstone.name;
        } else
                return false;
        return true;
}

/* --- ids --- */

static int by_name(const void *a, const void *b)
{
        const struct entry *x = a, *y = b;

        if (x->kind != y->kind)
                return x->kind < y->kind ? -1 : 1;
        if (x->kind == KB_RECORD_tombstone)
                return x->id < y->id ? -1 : x->id > y->id;
        return strcmp(x->name, y->name);
}

static struct entry *find(struct cli_directory *d, uint32_t kind, const char *name)
{
        struct entry key = {.kind = kind, .name = (char *)(uintptr_t)name};

        return bsearch(&key, d->entries, d->n, sizeof(key), by_name);
}

/* A bit for each id of the range. */
struct used {
        struct kb_id_range range;
        uint8_t *bits;
        uint32_t next;
};

static bool use(struct used *u, uint32_t id)
{
        uint32_t at = id - u->range.min;
        bool was;

        if (id < u->range.min || id > u->range.max)
                return false;
        was = u->bits[at / 8] & 1u << at % 8;
        u->bits[at / 8] |= (uint8_t)(1u << at % 8);
        return was;
}

/* The lowest id that nobody ever had; 0: there is none. */
static uint32_t next_id(struct used *u)
{
        while (u->next <= u->range.max && u->next >= u->range.min)
                if (!use(u, u->next++))
                        return u->next - 1;
        return 0;
}

/* Ids that the file says, and those of the directory before. */
static int known_ids(struct reading *r, struct kb_span before, struct used *u)
{
        struct cli_record record;

        for (size_t i = 0; i < r->d->n; i++) {
                struct entry *e = &r->d->entries[i];
                bool has = e->kind == KB_RECORD_person || e->kind == KB_RECORD_group;

                r->line = e->line;
                if (has && e->values[PERSON_ID] && !parse_number(e->values[PERSON_ID], &e->id))
                        complain(r, "\"%s\" is no id", e->values[PERSON_ID]);
                if (e->id > 0)
                        use(u, e->id);
        }
        while (cli_record_next(&before, &record)) {
                struct entry *e = find(r->d, record.kind, record.name);
                const char *name;
                uint32_t id;

                if (!id_of(&record, &id, &name))
                        continue;
                if (e && e->id == 0)
                        e->id = id;
                use(u, id);
        }
        return r->wrong > 0 ? -EBADMSG : 0;
}

static void assign(struct reading *r, struct used *u)
{
        for (size_t i = 0; i < r->d->n; i++) {
                struct entry *e = &r->d->entries[i];

                if ((e->kind != KB_RECORD_person && e->kind != KB_RECORD_group) || e->id > 0)
                        continue;
                e->id = next_id(u);
                r->line = e->line;
                if (e->id == 0) {
                        complain(r, "no id of IdRange= is left that nobody ever had");
                        return;
                }
        }
}

/* Who is gone leaves an id behind. */
static int bury(struct cli_directory *d, struct kb_span before)
{
        _cleanup_free_ uint8_t *lives = NULL;
        struct used u = {.range = d->range};
        struct cli_record record;
        size_t n = d->n;

        u.bits = lives = calloc((d->range.max - d->range.min) / 8 + 1, 1);
        if (!lives)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                if (d->entries[i].id > 0)
                        use(&u, d->entries[i].id);
        while (cli_record_next(&before, &record)) {
                const char *name;
                struct entry *e;
                uint32_t id;

                if (!id_of(&record, &id, &name) || use(&u, id))
                        continue;
                e = entry_new(d);
                if (!e)
                        return -ENOMEM;
                e->kind = KB_RECORD_tombstone;
                e->id = id;
                e->name = cli_format("%u", id);
                e->values[TOMBSTONE_NAME] = cli_format("%s", name);
        }
        return 0;
}

/* --- records --- */

static int compare(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The words of a value, in their order or sorted and each once. */
static void add_words(struct kb_list_builder *list, const char *value, bool sorted)
{
        _cleanup_free_ char *copy = cli_format("%s", value), **words = NULL;
        char *rest = copy, *word;
        size_t n = 0;

        words = calloc(strlen(value) / 2 + 1, sizeof(*words));
        if (!words) {
                list->writer.failed = true;
                return;
        }
        while ((word = strsep(&rest, " ,\t")))
                if (*word)
                        words[n++] = word;
        if (sorted && n > 0)
                qsort(words, n, sizeof(*words), compare);
        for (size_t i = 0; i < n; i++)
                if (!sorted || i == 0 || strcmp(words[i - 1], words[i]) != 0)
                        kb_list_add_string(list, words[i]);
}

static uint64_t date(struct reading *r, const struct entry *e, unsigned key, uint64_t otherwise)
{
        uint64_t value = otherwise;

        if (e->values[key] && !parse_date(e->values[key], &value))
                complain(r, "\"%s\" is no date: 2027-01-31, or 2027-01-31 18:30:00", e->values[key]);
        return value;
}

static bool flag(struct reading *r, const struct entry *e, unsigned key, const char *otherwise)
{
        bool value;

        if (!parse_flag(value_of(e, key, otherwise), &value))
                complain(r, "\"%s\" is neither yes nor no", e->values[key]);
        return value;
}

static void put_person(struct reading *r, const struct entry *e, struct kb_writer *w)
{
        _cleanup_free_ char *home = cli_format("/home/%s", e->name);

        kb_directory_add_person(w, &(struct kb_person_record){
                                           .name = e->name,
                                           .uid = e->id,
                                           .full_name = value_of(e, FULL_NAME, ""),
                                           .home = value_of(e, HOME, home),
                                           .shell = value_of(e, SHELL, "/bin/bash"),
                                           .auth = value_of(e, AUTH, ""),
                                           .has_password = flag(r, e, PASSWORD, "yes"),
                                           .disabled = flag(r, e, DISABLED, "no"),
                                           .expires = date(r, e, EXPIRES, KB_TIME_NEVER),
                                   });
}

static void put_group(struct reading *r, const struct entry *e, struct kb_writer *w)
{
        _cleanup_list_ struct kb_list_builder members = kb_list_builder_init(KB_DIRECTORY_SIZE_MAX);

        add_words(&members, value_of(e, MEMBERS, ""), true);
        kb_directory_add_group(w, &(struct kb_group_record){.name = e->name,
                                                            .gid = e->id,
                                                            .members = kb_list_built(&members)});
        if (kb_writer_end(&members.writer) < 0)
                w->failed = true;
}

static uint32_t all_factors(struct reading *r, const char *value)
{
        _cleanup_free_ char *copy = cli_format("%s", value);
        char *rest = copy, *word;
        uint32_t all = 0;

        while ((word = strsep(&rest, " ,\t")))
                if (*word && strcmp(word, "none") != 0 && !parse_factor(word, &all))
                        complain(r, "\"%s\" is none of key, password, otp, none", word);
        return all;
}

static void put_rule(struct reading *r, const struct entry *e, struct kb_writer *w)
{
        _cleanup_list_ struct kb_list_builder who = kb_list_builder_init(1 << 20),
                                              hosts = kb_list_builder_init(1 << 20),
                                              services = kb_list_builder_init(1 << 20);
        uint64_t usec = 0;
        const char *at;

        add_words(&who, value_of(e, WHO, ""), false);
        add_words(&hosts, value_of(e, HOST, ""), false);
        add_words(&services, value_of(e, SERVICE, ""), false);
        if (e->values[FOR] && (kb_duration_parse(e->values[FOR], &usec, &at) < 0 || usec == KB_TIME_NEVER))
                complain(r, "\"%s\" is no time: 30min, 8h", e->values[FOR]);
        kb_directory_add_rule(w, &(struct kb_rule_record){
                                         .name = e->name,
                                         .who = kb_list_built(&who),
                                         .hosts = kb_list_built(&hosts),
                                         .services = kb_list_built(&services),
                                         .factors = all_factors(r, value_of(e, FACTOR, "")),
                                         .from = date(r, e, FROM, 0),
                                         .until = date(r, e, UNTIL, KB_TIME_NEVER),
                                         .seconds = usec / KB_USEC_PER_SEC,
                                 });
        if (kb_writer_end(&who.writer) < 0 || kb_writer_end(&hosts.writer) < 0 ||
            kb_writer_end(&services.writer) < 0)
                w->failed = true;
}

static void put_tombstone(struct reading *r, const struct entry *e, struct kb_writer *w)
{
        kb_directory_add_tombstone(
                w, &(struct kb_tombstone_record){.id = e->id, .name = value_of(e, TOMBSTONE_NAME, "")});
}

static void (*const puts_of[])(struct reading *r, const struct entry *e, struct kb_writer *w) = {
        [KB_RECORD_person] = put_person,
        [KB_RECORD_group] = put_group,
        [KB_RECORD_rule] = put_rule,
        [KB_RECORD_tombstone] = put_tombstone,
};

static int put_all(struct reading *r, struct kb_writer *w)
{
        struct cli_directory *d = r->d;

        if (d->n > 0)
                qsort(d->entries, d->n, sizeof(*d->entries), by_name);
        for (size_t i = 0; i < d->n; i++) {
                r->line = d->entries[i].line;
                puts_of[d->entries[i].kind](r, &d->entries[i], w);
        }
        return r->wrong > 0 ? -EBADMSG : kb_writer_end(w);
}

/* As a host will. */
static int judge(const struct reading *r, struct kb_span records)
{
        _cleanup_(kb_directory_freep) struct kb_directory *directory = NULL;
        struct kb_directory_options options = {.range = r->d->range};
        struct kb_refused refused;
        char text[256];
        int status = kb_directory_load(&directory, records, &options, &refused);

        if (status == -EBADMSG)
                kb_refused_format(&refused, text, sizeof(text));
        else
                snprintf(text, sizeof(text), "%s", strerror(-status));
        return status < 0 ? cli_fail(r->cli, KB_E_BAD_REQUEST, "%s: %s", r->d->path, text) : 0;
}

int cli_directory_build(const struct cli *cli, struct cli_directory *d, struct kb_span before,
                        struct kb_writer *ret)
{
        _cleanup_free_ uint8_t *bits = calloc((d->range.max - d->range.min) / 8 + 1, 1);
        struct used used = {.range = d->range, .bits = bits, .next = d->range.min};
        struct reading r = {.cli = cli, .d = d};
        int status = bits ? 0 : -ENOMEM;

        if (d->n > 0)
                qsort(d->entries, d->n, sizeof(*d->entries), by_name);
        if (status == 0)
                status = known_ids(&r, before, &used);
        if (status == 0) {
                assign(&r, &used);
                status = r.wrong > 0 ? -EBADMSG : bury(d, before);
        }
        if (status == 0)
                status = put_all(&r, ret);
        if (status == -EBADMSG)
                return kb_error_exit_status(KB_E_BAD_REQUEST);
        if (status < 0)
                return cli_fail(cli, KB_E_BAD_REQUEST, "%s: %s", d->path, strerror(-status));
        return judge(&r, KB_SPAN(ret->data, ret->size));
}

/* --- as text --- */

static void print_words(FILE *to, const char *key, struct kb_list list)
{
        const char *word;
        size_t width = 0;

        if (list.count == 0)
                return;
        fprintf(to, "%s=", key);
        while (kb_list_next_string(&list, &word)) {
                fprintf(to, "%s%s", width == 0 ? "" : width > 80 ? "\n  " : " ", word);
                width = (width > 80 ? 0 : width) + strlen(word) + 1;
        }
        fputc('\n', to);
}

static void print_date(FILE *to, const char *key, uint64_t usec, uint64_t otherwise)
{
        char text[32];

        format_date(usec, text);
        if (usec != otherwise)
                fprintf(to, "%s=%s\n", key, text);
}

static void print_person(FILE *to, struct kb_span bytes)
{
        struct kb_person_record p;

        if (kb_person_record_get(bytes, &p) < 0)
                return;
        fprintf(to, "Id=%u\n", p.uid);
        if (p.full_name[0])
                fprintf(to, "FullName=%s\n", p.full_name);
        fprintf(to, "Home=%s\nShell=%s\n", p.home, p.shell);
        if (p.auth[0])
                fprintf(to, "Auth=%s\n", p.auth);
        if (!p.has_password)
                fputs("Password=no\n", to);
        if (p.disabled)
                fputs("Disabled=yes\n", to);
        print_date(to, "Expires", p.expires, KB_TIME_NEVER);
}

static void print_group(FILE *to, struct kb_span bytes)
{
        struct kb_group_record g;

        if (kb_group_record_get(bytes, &g) < 0)
                return;
        fprintf(to, "Id=%u\n", g.gid);
        print_words(to, "Members", g.members);
}

static void print_rule(FILE *to, struct kb_span bytes)
{
        struct kb_rule_record rule;

        if (kb_rule_record_get(bytes, &rule) < 0)
                return;
        print_words(to, "Who", rule.who);
        print_words(to, "Host", rule.hosts);
        print_words(to, "Service", rule.services);
        for (size_t i = 0; i < KB_ARRAY_SIZE(factors); i++)
                if (rule.factors & factors[i].factor)
                        fprintf(to, "Factor=%s\n", factors[i].word);
        print_date(to, "From", rule.from, 0);
        print_date(to, "Until", rule.until, KB_TIME_NEVER);
        if (rule.seconds > 0)
                fprintf(to, "For=%llus\n", (unsigned long long)rule.seconds);
}

static void print_tombstone(FILE *to, struct kb_span bytes)
{
        struct kb_tombstone_record t;

        if (kb_tombstone_record_get(bytes, &t) == 0)
                fprintf(to, "Name=%s\n", t.name);
}

static void (*const prints_of[])(FILE *to, struct kb_span bytes) = {
        [KB_RECORD_person] = print_person,
        [KB_RECORD_group] = print_group,
        [KB_RECORD_rule] = print_rule,
        [KB_RECORD_tombstone] = print_tombstone,
};

/* The records do not say which range their ids were taken from. */
static void print_range(FILE *to, struct kb_span records)
{
        static const struct kb_id_range usual = {KB_ID_MIN_DEFAULT, KB_ID_MAX_DEFAULT},
                                        large = {1879048192, 2147483646};
        struct kb_id_range found = {UINT32_MAX, 0};
        struct cli_record record;
        const char *name;
        uint32_t id;

        while (cli_record_next(&records, &record))
                if (id_of(&record, &id, &name)) {
                        found.min = id < found.min ? id : found.min;
                        found.max = id > found.max ? id : found.max;
                }
        if (found.max == 0 || (found.min >= usual.min && found.max <= usual.max))
                return;
        if (found.min >= large.min && found.max <= large.max)
                found = large;
        fprintf(to, "IdRange=%u-%u\n", found.min, found.max);
}

void cli_directory_print(FILE *to, const char *cluster, struct kb_span records)
{
        struct cli_record record;

        fprintf(to, "[Directory]\nCluster=%s\n", cluster);
        print_range(to, records);
        while (cli_record_next(&records, &record)) {
                if (record.kind == 0 || record.kind >= KB_ARRAY_SIZE(kinds))
                        continue;
                fprintf(to, "\n[%s %s]\n", kinds[record.kind].section, record.name);
                prints_of[record.kind](to, record.bytes);
        }
}
