/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What an answer of one server means for a call, and which server is asked next. No clock, no network:
 * tables.
 */

#include "common/error.h"
#include "helper/store/vault/http.h"

#define KB_CLUSTER_ADDRESSES 16

enum kb_verdict {
        KB_VERDICT_ANSWER, /* it is the caller's: done, or refused */
        KB_VERDICT_NEXT,   /* this server cannot, another one may: it is sealed, standing by, electing */
        KB_VERDICT_WAIT,   /* all of them have to be left alone for a while */
        KB_VERDICT_BROKEN, /* this server or the way to it fails: counts for its breaker */
        KB_VERDICT_OTHERS, /* no answer that we could use: each of the others is asked, and nobody twice */
        KB_VERDICT_OURS,   /* nobody but us is to blame */
};

struct kb_judgement {
        enum kb_verdict verdict;
        enum kb_error error; /* what the call comes to when nobody else does better */
        bool executed;       /* the server may have done what it was asked */
};

/*
 * errors: what the server says (kb_api_errors()), "" when nothing; readable: its body is an envelope or
 * empty. here: the request forbade to pass it on; where it was allowed, a standby may have lost its leader
 * in the middle, and says no more than one that never tried.
 */
struct kb_judgement kb_route_judge(const struct kb_http_answer *answer, const char *errors, bool readable,
                                   bool here);

/* What a status means to a person, for a server that says nothing itself; "" when there is no more to say.
 */
const char *kb_route_status_text(int status);

/* The way of one call through the addresses: which were tried since the last wait, and where a standby
 * pointed. */
struct kb_route {
        uint32_t tried; /* a bit for each */
        int hint;       /* -1: none */
};
struct kb_route kb_route_init(void);

/*
 * The next one: the hint, the one that is asked first, then the others in turn. closed: a bit for each whose
 * breaker lets it be asked. -1 when there is none left.
 */
int kb_route_next(struct kb_route *route, size_t n, size_t current, uint32_t closed);

/* How many it could still choose among. */
unsigned kb_route_left(const struct kb_route *route, size_t n, uint32_t closed);
