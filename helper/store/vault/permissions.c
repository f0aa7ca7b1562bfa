/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/vault/permissions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "helper/store/vault/fetch.h"

#define LINES_MAX 4
#define PATH_SIZE 513 /* of a path in `fetch` */
#define SELF      "sys/capabilities-self"

/* A capability, as a policy grants it: the other one of them would do as well (POST to what is not there).
 */
#define READ   "read"
#define UPDATE "update"

/*
 * What a path in each type of mount needs; the first row that fits counts. NULL: any type, any prefix.
 * Without a capability it is Method= that says which, and with "" there is none: a token of its own does it.
 */
static const struct need {
        const char *type, *prefix, *capability;
        bool rotates; /* Method=rotate asks for that, too */
        bool leased;
} needs[] = {
        {"kv", NULL, READ},
        {"database", "creds/", READ, .leased = true},
        {"database", "static-creds/", READ, .rotates = true},
        {"pki", "issue/", UPDATE, .leased = true},
        {"pki", "sign/", UPDATE, .leased = true},
        {"ssh", "sign/", UPDATE},
        {"totp", "code/", READ},
        {"transit", "decrypt/", UPDATE},
        {"system", "wrapping/unwrap", ""},
        {NULL, NULL, NULL, .leased = true},
};

struct line {
        char path[2 * PATH_SIZE + 16]; /* with what stands between a mount and the rest */
        const char *capability;
        bool granted;
};

struct kb_permissions {
        struct kb_permissions *next;
        struct kb_engines *engines;
        struct kb_asking ask;
        struct kb_request *request;
        char path[PATH_SIZE], method[20];
        uint64_t deadline;
        struct line lines[LINES_MAX];
        size_t n_lines;
};

/* --- life --- */

static void look_free(struct kb_permissions *p)
{
        kb_ask_cancel(&p->ask);
        free(p);
}

static void look_end(struct kb_permissions *p)
{
        struct kb_permissions **at = &p->engines->permissions;

        while (*at != p)
                at = &(*at)->next;
        *at = p->next;
        look_free(p);
}

void kb_permissions_free(struct kb_engines *e)
{
        while (e->permissions)
                look_end(e->permissions);
}

static void fail(struct kb_permissions *p, enum kb_error error, const char *text)
{
        kb_request_fail(p->request, error, "%s%s%s", p->path, p->path[0] ? ": " : "", text);
        look_end(p);
}

static void ask(struct kb_permissions *p, const struct kb_question *question, kb_ask_done done)
{
        struct kb_question q = *question;
        struct kb_problem problem;

        q.deadline = p->deadline;
        if (kb_ask_start(&p->ask, &q, done, p, &problem) != KB_E_OK)
                fail(p, problem.error, problem.text);
}

/* --- the answer --- */

static void add_row(struct kb_list_builder *rows, const struct line *line)
{
        _cleanup_list_ struct kb_list_builder row = kb_list_builder_init(2048);
        _cleanup_writer_ struct kb_writer w = kb_writer_init(2048);

        kb_list_add_text(&row, "path", line->path);
        kb_list_add_text(&row, "capability", line->capability);
        kb_list_add_text(&row, "granted", line->granted ? "yes" : "no");
        kb_write_list(&w, kb_list_built(&row), UINT32_MAX - 1);
        kb_list_add(rows, KB_SPAN(w.data, w.size));
}

static void reply(struct kb_permissions *p)
{
        _cleanup_list_ struct kb_list_builder rows = kb_list_builder_init(16384);

        for (size_t i = 0; i < p->n_lines; i++)
                add_row(&rows, &p->lines[i]);
        kb_request_reply(p->request, store_admin, .rows = kb_list_built(&rows));
        look_end(p);
}

static bool is_word(const struct kb_json_value *value, const char *word)
{
        const char *text;

        return kb_json_text(value, &text) >= 0 && strcmp(text, word) == 0;
}

/* Of a list of capabilities. To make what is not there yet is as good as to change it. */
static bool grants(const struct kb_json_value *list, const char *capability)
{
        for (size_t i = 0; i < kb_json_count(list); i++) {
                const struct kb_json_value *one = kb_json_element(list, i);

                if (is_word(one, capability) || is_word(one, "root") ||
                    (strcmp(capability, UPDATE) == 0 && is_word(one, "create")))
                        return true;
        }
        return false;
}

static void on_capabilities(const struct kb_asked *asked, void *userdata)
{
        struct kb_permissions *p = userdata;

        if (asked->error == KB_E_DENIED) { /* the line that is needed to know about the others */
                p->lines[0] = (struct line){.path = SELF, .capability = UPDATE};
                p->n_lines = 1;
                reply(p);
                return;
        }
        if (asked->error != KB_E_OK) {
                fail(p, asked->error, asked->text);
                return;
        }
        for (size_t i = 0; i < p->n_lines; i++)
                p->lines[i].granted =
                        grants(kb_json_get(asked->envelope.data, p->lines[i].path), p->lines[i].capability);
        reply(p);
}

static void ask_for_capabilities(struct kb_permissions *p)
{
        _cleanup_body_ struct kb_body body = kb_body_init();
        struct kb_path path = kb_path_init(SELF);

        if (p->n_lines == 0) {
                reply(p);
                return;
        }
        kb_body_open_list(&body, "paths");
        for (size_t i = 0; i < p->n_lines; i++)
                kb_body_text(&body, NULL, p->lines[i].path);
        kb_body_close(&body);
        ask(p, &(struct kb_question){.method = KB_HTTP_POST, .path = &path, .body = &body}, on_capabilities);
}

/* --- what is needed --- */

static void need(struct kb_permissions *p, const char *capability, const char *mount, const char *middle,
                 const char *rest)
{
        struct line *line = &p->lines[p->n_lines++];

        line->capability = capability;
        snprintf(line->path, sizeof(line->path), "%s%s%s", mount, middle, rest);
}

static bool fits(const struct need *row, const char *type, const char *rest)
{
        return (!row->type || !type || strcmp(row->type, type) == 0) &&
               (!row->prefix || strncmp(rest, row->prefix, strlen(row->prefix)) == 0);
}

static void need_what_fits(struct kb_permissions *p, const struct kb_mount *mount)
{
        const char *rest = p->path + strlen(mount->path), *capability;
        const struct need *row = needs;

        while (!fits(row, mount->type, rest)) /* the last one takes all */
                row++;
        capability = row->capability ? row->capability : strcmp(p->method, "write") == 0 ? UPDATE : READ;
        if (capability[0])
                need(p, capability, mount->path, mount->versioned ? "data/" : "", rest);
        if (row->rotates && strcmp(p->method, "rotate") == 0)
                need(p, UPDATE, mount->path, "rotate-role/", rest + strlen(row->prefix));
        if (row->leased) {
                need(p, UPDATE, "sys/leases/", "renew", "");
                need(p, UPDATE, "sys/leases/", "revoke", "");
        }
        ask_for_capabilities(p);
}

/* By the names that engines have, whatever mount they are in. */
static void guess(struct kb_permissions *p)
{
        struct kb_mount mount = {.type = "kv", .versioned = true};
        const char *rest = p->path + strcspn(p->path, "/");

        rest += *rest == '/';
        snprintf(mount.path, sizeof(mount.path), "%.*s", (int)(rest - p->path), p->path);
        for (size_t i = 0; i < KB_ARRAY_SIZE(needs); i++)
                if (needs[i].prefix && fits(&needs[i], NULL, rest)) {
                        snprintf(mount.type, sizeof(mount.type), "%s", needs[i].type);
                        mount.versioned = false;
                        break;
                }
        need_what_fits(p, &mount);
}

static void on_mount(const struct kb_asked *asked, void *userdata)
{
        struct kb_permissions *p = userdata;
        struct kb_problem problem;
        struct kb_mount mount;

        if (asked->error == KB_E_DENIED)
                guess(p);
        else if (asked->error != KB_E_OK)
                fail(p, asked->error, asked->text);
        else if (kb_mount_read(asked->envelope.data, p->path, &mount, &problem) != KB_E_OK)
                fail(p, problem.error, problem.text);
        else
                need_what_fits(p, &mount);
}

static void need_of_path(struct kb_permissions *p)
{
        struct kb_path path = kb_path_init("sys/internal/ui/mounts");
        const struct kb_mount *fixed = kb_mount_built_in(p->path);

        if (fixed) {
                need_what_fits(p, fixed);
                return;
        }
        kb_path_many(&path, p->path);
        ask(p, &(struct kb_question){.method = KB_HTTP_GET, .path = &path}, on_mount);
}

static void need_of_host(struct kb_permissions *p, const struct kb_permissions_of *of)
{
        _cleanup_free_ char *folder = NULL;

        need(p, READ, "auth/token/", "lookup-self", "");
        need(p, UPDATE, "auth/token/", "renew-self", "");
        if (of->mount && of->mount[0] && asprintf(&folder, "/data/%s/*", of->folder) >= 0)
                need(p, READ, of->mount, folder, "");
        ask_for_capabilities(p);
}

void kb_engines_permissions(struct kb_engines *e, struct kb_request *request,
                            const struct kb_permissions_of *of)
{
        struct kb_permissions *p;

        if (of->path[0] && !kb_name_path_valid(of->path)) {
                kb_request_fail(request, KB_E_BAD_REQUEST, "the path is words joined by '/'");
                return;
        }
        p = calloc(1, sizeof(*p));
        if (!p) {
                kb_request_fail(request, KB_E_BUSY, "memory is out");
                return;
        }
        p->engines = e;
        p->ask.is = &e->is;
        p->request = request;
        p->deadline = kb_time_add(kb_now_monotonic(), e->is.request_usec);
        snprintf(p->path, sizeof(p->path), "%s", of->path);
        snprintf(p->method, sizeof(p->method), "%s", of->method);
        p->next = e->permissions;
        e->permissions = p;
        if (of->path[0])
                need_of_path(p);
        else
                need_of_host(p, of);
}
