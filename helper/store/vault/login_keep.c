/* SPDX-License-Identifier: Apache-2.0 */
/* What a login has the broker keep, encrypted to this host, over crash and reboot. */
#include <stdio.h>
#include <string.h>

#include "helper/store/vault/login_own.h"

#define FORMAT 1

/* What was granted to other settings is not sent to where these lead. */
static uint64_t settings_print(const struct kb_login_settings *s)
{
        const char *texts[] = {s->namespace, s->mount, s->role};
        uint64_t all[1 + KB_ARRAY_SIZE(texts)] = {s->method};

        for (size_t i = 0; i < KB_ARRAY_SIZE(texts); i++)
                all[1 + i] = kb_login_print(KB_SPAN_STRING(texts[i] ? texts[i] : ""));
        return kb_login_print(KB_SPAN(all, sizeof(all)));
}

static void write_older(const struct kb_login *login, struct kb_writer *to)
{
        for (size_t i = 0; i < KB_LOGIN_OLDER; i++) {
                kb_write_u64(to, login->older[i].generation);
                kb_write_u64(to, login->older[i].clock);
        }
}

void kb_login_keep(const struct kb_login *login, struct kb_writer *to)
{
        if (!login->greeted)
                return;
        kb_write_u32(to, FORMAT);
        kb_write_u64(to, settings_print(&login->settings));
        kb_write_u64(to, login->last);
        kb_write_u64(to, login->epoch);
        kb_write_bytes(to, KB_SPAN(login->token, login->token_size), KB_LOGIN_TOKEN_MAX);
        kb_write_string(to, login->accessor, KB_LOGIN_ACCESSOR_MAX);
        kb_write_flag(to, login->batch);
        kb_write_u64(to, login->generation);
        kb_write_u64(to, login->clock);
        write_older(login, to);
        kb_write_u32(to, login->plan.refusals);
        kb_write_u64(to, login->refused_clock);
        kb_write_u64(to, login->refused_print);
        kb_write_bytes(to, KB_SPAN(login->secret_id, login->secret_id_size), KB_LOGIN_SECRET_ID_MAX);
        kb_write_u64(to, login->secret_id_source);
}

/* As it was written. */
struct kept {
        uint64_t settings, last, epoch;
        struct kb_span token;
        const char *accessor;
        bool batch;
        uint64_t generation, clock;
        struct kb_login_older older[KB_LOGIN_OLDER];
        uint32_t refusals;
        uint64_t refused_clock, refused_print;
        struct kb_span secret_id;
        uint64_t secret_id_source;
};

static bool read_kept(struct kb_span keep, struct kept *ret)
{
        struct kb_reader r = kb_reader_init(keep);

        if (kb_read_u32(&r) != FORMAT)
                return false;
        ret->settings = kb_read_u64(&r);
        ret->last = kb_read_u64(&r);
        ret->epoch = kb_read_u64(&r);
        ret->token = kb_read_bytes(&r, KB_LOGIN_TOKEN_MAX);
        ret->accessor = kb_read_string(&r, KB_LOGIN_ACCESSOR_MAX);
        ret->batch = kb_read_flag(&r);
        ret->generation = kb_read_u64(&r);
        ret->clock = kb_read_u64(&r);
        for (size_t i = 0; i < KB_LOGIN_OLDER; i++) {
                ret->older[i].generation = kb_read_u64(&r);
                ret->older[i].clock = kb_read_u64(&r);
        }
        ret->refusals = kb_read_u32(&r);
        ret->refused_clock = kb_read_u64(&r);
        ret->refused_print = kb_read_u64(&r);
        ret->secret_id = kb_read_bytes(&r, KB_LOGIN_SECRET_ID_MAX);
        ret->secret_id_source = kb_read_u64(&r);
        return kb_reader_end(&r) >= 0;
}

/* Tokens that were replaced are known by the time of day at which they end: a clock that was set since makes
 * that wrong, and then the server says of their leases what is true. */
static void take_older(struct kb_login *login, const struct kept *kept, uint64_t now, uint64_t clock)
{
        for (size_t i = 0; i < KB_LOGIN_OLDER; i++) {
                struct kb_login_older o = kept->older[i];

                if (o.clock == KB_TIME_NEVER)
                        o.ends = KB_TIME_NEVER;
                else
                        o.ends = o.clock > clock ? kb_time_add(now, o.clock - clock) : 0;
                login->older[i] = o;
        }
}

static void take_refusals(struct kb_login *login, const struct kept *kept, uint64_t now, uint64_t clock)
{
        _cleanup_material_ struct kb_login_material m = {0};
        uint64_t ago = clock > kept->refused_clock ? clock - kept->refused_clock : 0;

        if (kept->refusals == 0 || kept->refused_clock == 0)
                return;
        kb_login_material_read(&login->settings, &m);
        login->print = m.print;
        if (m.print != kept->refused_print)
                return;
        login->refused_print = kept->refused_print;
        login->refused_clock = kept->refused_clock;
        kb_token_refused_before(&login->plan, kept->refusals, now > ago ? now - ago : 0, now,
                                kb_login_random(login));
        kb_login_fails(
                login, KB_E_UNREACHABLE,
                "this host waits before it logs in again: what it logs in with was refused before; change "
                "the file, or touch it to try at once");
}

static void take(struct kb_login *login, const struct kept *kept)
{
        uint64_t now = kb_now_boottime(), clock = kb_now_realtime();

        login->last = kept->last;
        if (kept->settings != settings_print(&login->settings))
                return;
        login->epoch = kept->epoch;
        take_older(login, kept, now, clock);
        if (kept->secret_id.size > 0)
                kb_login_remember(login, kept->secret_id, kept->secret_id_source);
        if (kept->token.size > 0 && kept->generation != 0)
                login->token = kb_secret_dup(kept->token);
        take_refusals(login, kept, now, clock);
        if (!login->token)
                return;
        login->token_size = kept->token.size;
        login->batch = kept->batch;
        login->generation = kept->generation;
        login->clock = kept->clock;
        snprintf(login->accessor, sizeof(login->accessor), "%s", kept->accessor);
        kb_token_restored(&login->plan, now);
        kb_login_fails(
                login, KB_E_UNREACHABLE,
                "the kept token of this host has not been looked up yet: no server was reached so far");
}

bool kb_login_kept(struct kb_login *login, struct kb_span keep, bool first)
{
        struct kept kept;

        if (keep.size == 0 || !read_kept(keep, &kept)) /* nothing, or from a version to come */
                return false;
        if (first)
                take(login, &kept);
        return login->secret_id && kept.secret_id.size > 0 &&
               kept.secret_id_source == login->secret_id_source;
}
