/* SPDX-License-Identifier: Apache-2.0 */
/* What a login asks a server, one thing at a time, and what the answers mean. */
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "helper/server/process.h"
#include "helper/store/vault/login_own.h"

struct question {
        enum kb_http_method method;
        const char *path;
        struct kb_span token;
        struct kb_span body;
        bool once;
        kb_cluster_done done;
};

static int ask(struct kb_login *login, const struct question *q)
{
        login->asked = kb_now_boottime();
        return kb_cluster_start(
                login->cluster,
                &(struct kb_cluster_request){
                        .method = q->method,
                        .path = q->path,
                        .namespace = login->settings.namespace,
                        .token = q->token,
                        .body = q->body,
                        .once = q->once,
                        .deadline = kb_time_add(kb_now_monotonic(), login->settings.request_usec),
                        .done = q->done,
                        .userdata = login,
                },
                &login->call);
}

/* A document of one member, or none, as the body. */
static int ask_with(struct kb_login *login, const struct question *q, const char *name, struct kb_span value)
{
        _cleanup_body_ struct kb_body b = kb_body_init();
        struct question with = *q;
        int r;

        if (name)
                kb_body_bytes(&b, name, value);
        r = kb_body_end(&b);
        if (r < 0)
                return r;
        with.body = KB_SPAN(b.writer.data, b.writer.size);
        return ask(login, &with);
}

/* --- what is common to answers --- */

/* Not logged in is nobody's refusal: whoever needs the token may ask again. */
static enum kb_error passing(enum kb_error error)
{
        return error == KB_E_SEALED || error == KB_E_THROTTLED ? error : KB_E_UNREACHABLE;
}

static bool is_final(const struct kb_cluster_answer *answer)
{
        return answer->error == KB_E_DENIED || answer->error == KB_E_BAD_REQUEST ||
               answer->error == KB_E_NOT_FOUND;
}

/* From when it was asked: the server's clock began no sooner. seconds 0: it does not end. */
static struct kb_token_grant grant_of(const struct kb_login *login, int64_t seconds, bool renewable,
                                      uint64_t now)
{
        uint64_t span = (uint64_t)seconds * KB_USEC_PER_SEC, gone = now - login->asked;

        if (seconds <= 0)
                return (struct kb_token_grant){.left = KB_TIME_NEVER};
        return (struct kb_token_grant){.left = span > gone ? span - gone : 0, .renewable = renewable};
}

static void told(struct kb_login *login, const struct kb_token_grant *grant)
{
        login->clock = kb_time_add(kb_now_realtime(), grant->left);
        login->trouble = (struct kb_problem){.error = KB_E_OK};
}

/* A token as a login, or a lookup of one, describes it. */
struct description {
        struct kb_span token;
        const char *accessor;
        int64_t seconds, uses;
        bool renewable, batch;
};

static void log_in_failed(struct kb_login *login, enum kb_token_failure why)
{
        uint64_t now = kb_now_boottime();

        kb_token_login_failed(&login->plan, why, now, kb_login_random(login));
        if (why == KB_TOKEN_REFUSED || why == KB_TOKEN_LOCKED) {
                login->refused_print = login->print;
                login->refused_clock = kb_now_realtime();
        }
        kb_login_arrange(login);
}

/* Why what was granted cannot be used; NULL: it can. */
static const char *unusable(const struct description *d)
{
        if (d->token.size > KB_LOGIN_TOKEN_MAX)
                return "the server gave a token that is too long";
        if (strlen(d->accessor) > KB_LOGIN_ACCESSOR_MAX)
                return "the server gave an accessor that is too long";
        if (d->uses > 0)
                return "its tokens can be used a few times only: set token_num_uses of the role to 0";
        return NULL;
}

static void logged_in(struct kb_login *login, const struct description *d, const char *address)
{
        uint64_t now = kb_now_boottime();
        struct kb_token_grant grant = grant_of(login, d->seconds, d->renewable, now);
        const char *why = unusable(d);
        uint64_t before = login->generation;

        if (!why && kb_login_use(login, d->token, d->accessor, d->batch) < 0)
                why = "memory is out";
        if (why) {
                kb_login_fails(login, KB_E_UNREACHABLE, "this host cannot use its login at %s: %s", address,
                               why);
                log_in_failed(login, KB_TOKEN_REFUSED); /* each try makes a token */
                return;
        }
        kb_token_logged_in(&login->plan, &grant, now, kb_login_random(login));
        told(login, &grant);
        login->problem = (struct kb_problem){.error = KB_E_OK};
        login->refused_clock = 0;
        login->removable = login->settings.remove_secret_id_file && login->used.ino != 0;
        if (login->generation != before) {
                kb_process_log(LOG_INFO, "logged in to %s with %s", address, login->method->word);
                kb_login_tell(login, KB_E_EXPIRED);
        }
        kb_login_arrange(login);
}

/* --- the login --- */

static const char *cure(const struct kb_login *login, enum kb_token_failure why)
{
        if (why == KB_TOKEN_LOCKED)
                return "; after too many bad logins the server locks a role for 15 minutes, and this host "
                       "asks "
                       "again after that";
        if (why == KB_TOKEN_REFUSED)
                return login->method->given ? "; put one that lives into the file"
                                            : "; put a new SecretID there, or touch its file to try again";
        return "";
}

static enum kb_token_failure why_not(const struct kb_login *login, const struct kb_cluster_answer *answer)
{
        if (!login->method->careful || !is_final(answer))
                return KB_TOKEN_FAILED;
        if (answer->error == KB_E_DENIED && !login->method->given)
                return KB_TOKEN_LOCKED;
        return answer->error == KB_E_NOT_FOUND ? KB_TOKEN_FAILED : KB_TOKEN_REFUSED;
}

static void refused(struct kb_login *login, const struct kb_cluster_answer *answer,
                    enum kb_token_failure why)
{
        kb_login_fails(login, passing(answer->error), "this host cannot log in with %s: %s%s",
                       login->method->word, answer->text, cure(login, why));
        log_in_failed(login, why);
}

static void on_login(const struct kb_cluster_answer *answer, void *userdata)
{
        struct kb_login *login = userdata;
        const struct kb_api_auth *auth = &answer->envelope.auth;
        struct description d;

        login->call = NULL;
        if (answer->error != KB_E_OK) {
                refused(login, answer, why_not(login, answer));
                return;
        }
        if (!answer->envelope.has_auth || auth->mfa_requirement) {
                kb_login_fails(login, KB_E_UNREACHABLE, "%s wants more than a login of %s: %s",
                               answer->address, login->method->word,
                               auth->mfa_requirement ? "a second factor, which a host has not"
                                                     : "its answer is none to a login");
                log_in_failed(login, KB_TOKEN_REFUSED);
                return;
        }
        d = (struct description){
                .token = KB_SPAN_STRING(auth->client_token),
                .accessor = auth->accessor,
                .seconds = auth->lease_duration,
                .uses = auth->num_uses,
                .renewable = auth->renewable,
                .batch = strcmp(auth->token_type, "batch") == 0,
        };
        logged_in(login, &d, answer->address);
}

/* What auth/token/lookup-self says, of a token that lives. False when it has ended this second. */
static bool read_lookup(const struct kb_cluster_answer *answer, struct description *ret)
{
        const struct kb_json_value *data = answer->envelope.data;
        int64_t created = 0, max = KB_API_SECONDS_MAX;
        const char *type = "";

        *ret = (struct description){.accessor = ""};
        (void)!kb_json_integer(kb_json_get(data, "ttl"), 0, max, &ret->seconds);
        (void)!kb_json_integer(kb_json_get(data, "creation_ttl"), 0, max, &created);
        (void)!kb_json_integer(kb_json_get(data, "num_uses"), 0, INT64_MAX, &ret->uses);
        (void)!kb_json_flag(kb_json_get(data, "renewable"), &ret->renewable);
        (void)!kb_json_text(kb_json_get(data, "accessor"), &ret->accessor);
        (void)!kb_json_text(kb_json_get(data, "type"), &type);
        ret->batch = strcmp(type, "batch") == 0;
        return data && (ret->seconds > 0 || created == 0);
}

/* The token of a file was looked up: that is its login. */
static void on_given(const struct kb_cluster_answer *answer, void *userdata)
{
        _cleanup_material_ struct kb_login_material m = {0};
        struct kb_login *login = userdata;
        struct description d;

        login->call = NULL;
        if (answer->error != KB_E_OK) {
                refused(login, answer, why_not(login, answer));
                return;
        }
        kb_login_material_read(&login->settings, &m);
        if (m.print != login->print || !read_lookup(answer, &d)) { /* another one already: that is next */
                log_in_failed(login, KB_TOKEN_FAILED);
                return;
        }
        d.token = KB_SPAN(m.files[0].bytes, m.files[0].size);
        logged_in(login, &d, answer->address);
}

/* --- a SecretID that is wrapped --- */

static void log_in(struct kb_login *login);

/* Nothing more is asked before the file is another one. */
static void wrapped_badly(struct kb_login *login, const char *what)
{
        kb_login_fails(login, KB_E_UNREACHABLE,
                       "this host cannot log in: the token in %s that wraps a SecretID %s",
                       login->settings.secret_id_file, what);
        log_in_failed(login, KB_TOKEN_NOTHING);
}

#define USED                                                                                                \
        "was used already, or has ended; if nobody used it here, somebody else has the SecretID: destroy "  \
        "it, and "                                                                                          \
        "put a new one there"

static void on_unwrapped(const struct kb_cluster_answer *answer, void *userdata)
{
        struct kb_login *login = userdata;
        struct kb_span secret_id;

        login->call = NULL;
        if (is_final(answer)) {
                wrapped_badly(login, USED);
                return;
        }
        if (answer->error != KB_E_OK) { /* whether it was used shows when it is looked up again */
                refused(login, answer, KB_TOKEN_FAILED);
                return;
        }
        if (kb_json_string(kb_json_get(answer->envelope.data, "secret_id"), &secret_id) < 0) {
                wrapped_badly(login, "wraps something else; put a new one there");
                return;
        }
        kb_login_remember(login, secret_id, login->checked);
        if (login->secret_id_source != login->checked)
                wrapped_badly(login,
                              "gave a SecretID that is too long, or memory is out; put a new one there");
        else
                log_in(login);
}

static bool is_ours(const struct kb_login *login, const struct kb_cluster_answer *answer)
{
        struct kb_path expected = kb_path_init("auth");
        const char *path;

        kb_path_many(&expected, login->settings.mount);
        kb_path_fixed(&expected, "role");
        kb_path_one(&expected, login->settings.role);
        kb_path_fixed(&expected, "secret-id");
        return kb_path_end(&expected) >= 0 &&
               kb_json_text(kb_json_get(answer->envelope.data, "creation_path"), &path) >= 0 &&
               strcmp(path, expected.text) == 0;
}

/* The file is read again, and has to have the token still that was looked up. */
static void on_wrapping(const struct kb_cluster_answer *answer, void *userdata)
{
        _cleanup_material_ struct kb_login_material m = {0};
        struct kb_login *login = userdata;
        struct kb_span token;

        login->call = NULL;
        if (is_final(answer)) {
                wrapped_badly(login, USED);
                return;
        }
        if (answer->error != KB_E_OK) {
                refused(login, answer, KB_TOKEN_FAILED);
                return;
        }
        if (!is_ours(login, answer)) {
                kb_process_log(LOG_ALERT,
                               "SECURITY: the token in %s was not made as a SecretID of this host's role: "
                               "somebody may have put it there to learn what this host does with it",
                               login->settings.secret_id_file);
                wrapped_badly(login,
                              "was not made as one of Mount= and Role=; it was left as it is: find out "
                              "where it comes from, and put a new one there");
                return;
        }
        kb_login_material_read(&login->settings, &m);
        token = KB_SPAN(m.files[KB_LOGIN_PART_SECRET_ID].bytes, m.files[KB_LOGIN_PART_SECRET_ID].size);
        if (token.size == 0 || kb_login_print(token) != login->checked ||
            ask(login, &(struct question){.method = KB_HTTP_POST,
                                          .path = "sys/wrapping/unwrap",
                                          .token = token,
                                          .once = true,
                                          .done = on_unwrapped}) < 0)
                log_in_failed(login, KB_TOKEN_FAILED);
}

static int look_into_wrapping(struct kb_login *login, struct kb_span token)
{
        login->checked = kb_login_print(token);
        return ask_with(login,
                        &(struct question){
                                .method = KB_HTTP_POST, .path = "sys/wrapping/lookup", .done = on_wrapping},
                        "token", token);
}

/* --- what a login is made of --- */

/* Whether the SecretID is the one that is remembered: that of the file as it is, or of one that is gone. */
static bool remembered(const struct kb_login *login, const struct kb_login_material *m)
{
        const struct kb_login_file *file = &m->files[KB_LOGIN_PART_SECRET_ID];

        if (!login->secret_id || login->settings.method != KB_LOGIN_APPROLE)
                return false;
        return file->bytes ? kb_login_print(KB_SPAN(file->bytes, file->size)) == login->secret_id_source
                           : m->errors[KB_LOGIN_PART_SECRET_ID] == KB_E_NOT_FOUND;
}

static int send_login(struct kb_login *login, const struct kb_span *parts)
{
        _cleanup_body_ struct kb_body b = kb_body_init();
        struct kb_path path = kb_path_init("auth");
        int r;

        if (login->method->given)
                return ask(login, &(struct question){.method = KB_HTTP_GET,
                                                     .path = "auth/token/lookup-self",
                                                     .token = parts[0],
                                                     .done = on_given});
        kb_path_many(&path, login->settings.mount);
        kb_path_fixed(&path, "login");
        login->method->body(&login->settings, parts, &b);
        r = kb_path_end(&path);
        if (r >= 0)
                r = kb_body_end(&b);
        return r < 0 ? r
                     : ask(login, &(struct question){.method = KB_HTTP_POST,
                                                     .path = path.text,
                                                     .body = KB_SPAN(b.writer.data, b.writer.size),
                                                     .once = true,
                                                     .done = on_login});
}

/* With RemoveSecretIdFile= the SecretID is remembered, and its file is one that may be removed later. */
static void note_file(struct kb_login *login, const struct kb_login_file *file)
{
        uint64_t source;

        login->removable = false;
        login->used = (struct kb_login_file){0};
        if (!login->settings.remove_secret_id_file || !file->bytes)
                return;
        source = kb_login_print(KB_SPAN(file->bytes, file->size));
        if (!login->settings.secret_id_wrapped)
                kb_login_remember(login, KB_SPAN(file->bytes, file->size), source);
        if (!login->settings.secret_id_wrapped && login->secret_id_source != source)
                return; /* it could not be */
        login->used = *file;
        login->used.bytes = NULL;
}

/* The parts, with what is remembered in its place. False, and told: some are missing. */
static bool gather(struct kb_login *login, const struct kb_login_material *m, bool from_memory,
                   struct kb_span parts[KB_LOGIN_PARTS])
{
        for (size_t i = 0; i < KB_LOGIN_PARTS; i++) {
                parts[i] = KB_SPAN(m->files[i].bytes, m->files[i].size);
                if (from_memory && i == KB_LOGIN_PART_SECRET_ID)
                        parts[i] = KB_SPAN(login->secret_id, login->secret_id_size);
                else if (m->errors[i] != KB_E_OK) {
                        kb_login_fails(login, KB_E_UNREACHABLE, "this host cannot log in: %s",
                                       m->problem.text);
                        return false;
                }
        }
        return true;
}

static void log_in(struct kb_login *login)
{
        _cleanup_material_ struct kb_login_material m = {0};
        struct kb_span parts[KB_LOGIN_PARTS];
        bool from_memory;
        int r;

        kb_login_material_read(&login->settings, &m);
        login->print = m.print;
        note_file(login,
                  &m.files[KB_LOGIN_PART_SECRET_ID]); /* before anything points to what is remembered */
        from_memory = remembered(login, &m);
        if (!gather(login, &m, from_memory, parts)) {
                log_in_failed(login, KB_TOKEN_NOTHING);
                return;
        }
        if (login->settings.secret_id_wrapped && !from_memory)
                r = look_into_wrapping(login, parts[KB_LOGIN_PART_SECRET_ID]);
        else
                r = send_login(login, parts);
        if (r < 0) {
                kb_login_fails(login, KB_E_UNREACHABLE, "this host cannot log in: %s", strerror(-r));
                log_in_failed(login, KB_TOKEN_FAILED);
        }
}

/* --- the token's own affairs --- */

static void on_renewed(const struct kb_cluster_answer *answer, void *userdata)
{
        struct kb_login *login = userdata;
        uint64_t now = kb_now_boottime();
        const struct kb_api_auth *auth = &answer->envelope.auth;
        struct kb_token_grant grant;

        login->call = NULL;
        if (answer->error == KB_E_OK && answer->envelope.has_auth) {
                grant = grant_of(login, auth->lease_duration, auth->renewable, now);
                kb_token_renewed(&login->plan, &grant, now, kb_login_random(login));
                told(login, &grant);
        } else {
                kb_login_fails(login, passing(answer->error), "the token of this host was not renewed: %s%s",
                               answer->text,
                               answer->error == KB_E_DENIED
                                       ? "; its policy has to allow update of auth/token/renew-self"
                                       : "");
                kb_token_renewal_failed(&login->plan, is_final(answer), now, kb_login_random(login));
        }
        kb_login_arrange(login);
}

static void on_looked_up(const struct kb_cluster_answer *answer, void *userdata)
{
        struct kb_login *login = userdata;
        uint64_t now = kb_now_boottime(), random = kb_login_random(login);
        bool found = answer->error == KB_E_OK, refusal = is_final(answer), fresh = !login->plan.proven;
        struct kb_token_grant grant;
        struct description d;

        login->call = NULL;
        if (found && !read_lookup(answer, &d)) {
                found = false;
                refusal = login->plan.looked_up = true; /* it has ended */
        }
        if (found) {
                grant = grant_of(login, d.seconds, d.renewable, now);
                kb_token_looked_up(&login->plan, &grant, now, random);
                if (fresh) {
                        told(login, &grant);
                        login->problem = (struct kb_problem){.error = KB_E_OK};
                        kb_process_log(LOG_INFO, "logged in to %s with the token that was kept",
                                       answer->address);
                }
                kb_login_tell(login, KB_E_DENIED);
        } else if (!kb_token_look_up_failed(&login->plan, refusal, now, random)) {
                kb_login_fails(login, KB_E_UNREACHABLE, "the token of this host is dead: it logs in anew");
                kb_login_drop(login, true);
        } else {
                if (fresh)
                        kb_login_fails(login, passing(answer->error),
                                       "whether the kept token of this host lives is not known: %s",
                                       answer->text);
                kb_login_tell(login, refusal ? KB_E_DENIED : KB_E_UNREACHABLE);
        }
        kb_login_arrange(login);
}

void kb_login_step(struct kb_login *login, enum kb_token_step step, uint64_t now)
{
        const struct question renewal = {.method = KB_HTTP_POST,
                                         .path = "auth/token/renew-self",
                                         .token = KB_SPAN(login->token, login->token_size),
                                         .done = on_renewed};
        const struct question lookup = {.method = KB_HTTP_GET,
                                        .path = "auth/token/lookup-self",
                                        .token = KB_SPAN(login->token, login->token_size),
                                        .done = on_looked_up};

        if (step == KB_TOKEN_LOG_IN) {
                log_in(login);
        } else if (step == KB_TOKEN_RENEW) {
                if (ask_with(login, &renewal, NULL, KB_SPAN("", 0)) < 0)
                        kb_token_renewal_failed(&login->plan, false, now, kb_login_random(login));
        } else if (ask(login, &lookup) < 0) {
                (void)kb_token_look_up_failed(&login->plan, false, now, kb_login_random(login));
                kb_login_tell(login, KB_E_UNREACHABLE);
        }
}
