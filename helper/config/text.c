/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/config/text.h"

#include <errno.h>
#include <ini.h>
#include <string.h>

#include "common/names.h"

#define SECTION_MAX 48 /* libinih cuts a longer one */
#define BLANK       " \t"

struct parser {
        const char *file;
        const char *at; /* what comes next */
        unsigned line;  /* number of the line that was handed out last */
        struct kb_problems *problems;
        bool malformed;

        kb_config_item_fn fn;
        void *userdata;

        char current[KB_CONFIG_LINE_MAX + 1];
        char key[KB_CONFIG_LINE_MAX + 1]; /* of the last item: libinih cuts it for further lines */
        size_t indentation;               /* of the first further line of this value; 0: none came yet */
        unsigned blank;
};

static bool is_comment(const char *start)
{
        return *start == '#' || *start == ';';
}

/* kb_text_valid() for a line, in which tabs are harmless. */
static bool is_text(const char *line)
{
        char without_tabs[KB_CONFIG_LINE_MAX + 1];
        size_t n = strlen(line);

        for (size_t i = 0; i <= n; i++)
                without_tabs[i] = line[i] == '\t' ? ' ' : line[i];
        return kb_text_valid(without_tabs);
}

/* What libinih would misread without a word. NULL when it is fine. */
static const char *find_fault(const struct parser *p, const char *line)
{
        const char *start = line + strspn(line, BLANK);
        bool further = start > line && p->key[0];
        size_t to_sign = strcspn(start, "=:");

        if (!is_text(line))
                return "holds control characters, or is not UTF-8; retype the line";
        if (!*start || is_comment(start))
                return NULL;
        if (strstr(line, " ;") || strstr(line, "\t;"))
                return "has a ';' behind white space, which would begin a comment; comments need a line of "
                       "their own";
        if (further)
                return NULL;
        if (*start == '[') {
                const char *end = strchr(start, ']');

                if (!end || end[1 + strspn(end + 1, BLANK)])
                        return "begins with '[' but is no [Section]";
                return end - start > SECTION_MAX ? "has a section name that is too long" : NULL;
        }
        if (start[to_sign] != '=' || to_sign == 0)
                return start[to_sign] == ':' ? "has ':' where '=' belongs; write Key=value"
                                             : "is neither [Section] nor Key=value";
        return NULL;
}

/* Keeps what the items of this line, or of the next, will need. */
static void note_line(struct parser *p)
{
        size_t indentation = strspn(p->current, BLANK);
        const char *start = p->current + indentation;

        if (!*start)
                p->blank++;
        else if (*start == '[' && indentation == 0)
                p->key[0] = '\0';
        else if (indentation > 0 && p->key[0] && !is_comment(start) && p->indentation == 0)
                p->indentation = indentation;
}

/* The next line into `to`, for libinih. Faulty lines become empty ones, so that the count of lines holds. */
static char *next_line(char *to, int size, void *userdata)
{
        struct parser *p = userdata;
        const char *fault = NULL;
        size_t n;

        if (!*p->at)
                return NULL;
        p->line++;
        n = strcspn(p->at, "\n");
        if (n > KB_CONFIG_LINE_MAX || n + 2 > (size_t)size)
                fault = "is longer than " KB_STRINGIFY(
                        KB_CONFIG_LINE_MAX) " bytes; go on in an indented line";
        else {
                memcpy(p->current, p->at, n);
                p->current[n] = '\0';
                fault = find_fault(p, p->current);
        }
        if (fault) {
                kb_problems_add(p->problems, p->file, p->line, "the line %s", fault);
                p->malformed = true;
                p->current[0] = '\0';
        } else
                note_line(p);
        p->at += n + (p->at[n] == '\n');
        memcpy(to, p->current, strlen(p->current) + 1);
        strcat(to, "\n"); /* n + 2 <= size, seen above */
        return to;
}

static int take_item(void *userdata, const char *section, const char *key, const char *value)
{
        struct parser *p = userdata;
        struct kb_config_item item = {.section = section, .value = value, .line = p->line};

        item.further = p->current[0] == ' ' || p->current[0] == '\t';
        item.further = item.further && p->key[0];
        if (!item.further) {
                memcpy(p->key, key, strlen(key) + 1); /* shorter than the line it came from */
                p->indentation = 0;
        } else {
                size_t indentation = strspn(p->current, BLANK);

                item.raw = p->current + (indentation < p->indentation ? indentation : p->indentation);
                item.blank = p->blank;
        }
        p->blank = 0;
        item.key = p->key;
        p->fn(p->userdata, &item);
        return 1;
}

static unsigned line_of(const char *bytes, const char *at)
{
        unsigned line = 1;

        for (; bytes < at; bytes++)
                line += *bytes == '\n';
        return line;
}

/* Faults of the file as a whole; there is no use in reading on after one. */
static int check_whole(const char *file, const char *bytes, size_t size, struct kb_problems *problems)
{
        const char *nul = memchr(bytes, '\0', size), *cr = memchr(bytes, '\r', size);

        if (size == 0)
                return 0;
        if (nul)
                kb_problems_add(problems, file, line_of(bytes, nul),
                                "holds a NUL byte: this is no text file");
        else if (size >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0)
                kb_problems_add(problems, file, 1,
                                "begins with a byte order mark; save as UTF-8 without one");
        else if (cr)
                kb_problems_add(
                        problems, file, line_of(bytes, cr),
                        "holds a carriage return; save it with Unix line ends (sed -i 's/\\r$//' %s)", file);
        else if (bytes[size - 1] != '\n')
                kb_problems_add(problems, file, line_of(bytes, bytes + size - 1),
                                "the last line has no end; is somebody still writing the file?");
        else
                return 0;
        return -EBADMSG;
}

int kb_config_text_parse(const char *file, const char *bytes, size_t size, struct kb_problems *problems,
                         kb_config_item_fn fn, void *userdata)
{
        struct parser p = {.file = file, .at = bytes, .problems = problems, .fn = fn, .userdata = userdata};
        int r = check_whole(file, bytes, size, problems);

        if (r < 0)
                return r;
        r = ini_parse_stream(next_line, &p, take_item, &p);
        if (r == -2)
                return -ENOMEM;
        if (r > 0 && !p.malformed) { /* it saw a fault that we did not */
                kb_problems_add(problems, file, (unsigned)r, "the line makes no sense");
                p.malformed = true;
        }
        return p.malformed ? -EBADMSG : 0;
}
