/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What all of OpenBao's HTTP API has in common: how a path is put together, and the envelope of an answer.
 */

#include "helper/store/problem.h"
#include "helper/store/vault/json.h"

/*
 * A path behind /v1/, with its query. Sticky: look once, at the end.
 *
 *   struct kb_path p = kb_path_init("auth");
 *   kb_path_many(&p, mount);          // as an administrator wrote it, one segment or more: "team/ldap"
 *   kb_path_fixed(&p, "login");       // our own text
 *   kb_path_one(&p, user);            // from outside: percent-encoded, and never more than one segment
 *   kb_path_query(&p, "version", "3");
 *   r = kb_path_end(&p);              // p.text is "auth/team/ldap/login/ana?version=3"
 *
 * Refused in a segment: it is empty, "." or "..", has a control byte or ends in a period (OpenBao cuts that
 * off); in one from outside also a slash. Slashes around what an administrator wrote are left out.
 */
#define KB_PATH_MAX 2048

struct kb_path {
        char text[KB_PATH_MAX];
        size_t size;
        bool query;
        int error;
};

struct kb_path kb_path_init(const char *fixed);
void kb_path_fixed(struct kb_path *p, const char *fixed);
void kb_path_one(struct kb_path *p, const char *segment);
void kb_path_many(struct kb_path *p, const char *segments);
void kb_path_query(struct kb_path *p, const char *name, const char *value);
int kb_path_end(const struct kb_path *p) _must_check_; /* 0; -EINVAL; -ENAMETOOLONG */

/*
 * The envelope. Parts that were not there are NULL, "" or 0. Times are whole seconds as the server gives
 * them; one that is negative or longer than KB_API_SECONDS_MAX (100 years) is refused, as is any part of the
 * wrong type.
 */
#define KB_API_SECONDS_MAX ((int64_t)100 * 366 * 24 * 3600)

struct kb_api_auth {
        const char *client_token; /* a secret; "" together with mfa_requirement */
        const char *accessor;
        const char *token_type; /* "service", "batch" */
        const char *entity_id;
        int64_t lease_duration; /* 0: the token does not end */
        int64_t num_uses;       /* 0: without limit */
        bool renewable;
        bool orphan;
        const struct kb_json_value *policies;        /* a list */
        const struct kb_json_value *metadata;        /* an object */
        const struct kb_json_value *mfa_requirement; /* an object: the login is not complete */
};

struct kb_api_wrap {
        const char *token; /* a secret */
        const char *accessor;
        const char *creation_path;
        int64_t ttl;
};

struct kb_api_envelope {
        const char *lease_id;
        int64_t lease_duration; /* without a lease_id it is a hint only (KV 1) */
        bool renewable;
        bool has_auth;
        bool has_wrap;
        struct kb_api_auth auth;
        struct kb_api_wrap wrap;
        const struct kb_json_value *data;     /* an object */
        const struct kb_json_value *warnings; /* a list */
        const struct kb_json_value *errors;   /* a list */
};

/*
 * Points into the document. 0; -EBADMSG when the document is no object or a part is not what it has to be:
 * *ret_part is its name then, for the message.
 */
int kb_api_envelope(const struct kb_json_value *root, struct kb_api_envelope *ret, const char **ret_part)
        _must_check_;

/*
 * What the server says went wrong, in one line: its `errors`, control characters replaced, cut to fit. ""
 * when it says nothing. Servers repeat what they were sent: `secrets` (strings of the request) must not come
 * back this way, so a text that has one of them is left out as a whole.
 */
void kb_api_errors(const struct kb_api_envelope *envelope, const struct kb_span *secrets, size_t n_secrets,
                   char *ret, size_t size);
