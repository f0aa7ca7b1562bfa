/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/vault/route.h"

#include <string.h>

#include "common/macro.h"

/* Statuses that mean the same whatever the server says; a range ends at `last`. The first that fits counts.
 */
static const struct {
        int first, last;
        enum kb_verdict verdict;
        enum kb_error error;
        bool executed;
} statuses[] = {
        {200, 299, KB_VERDICT_ANSWER, KB_E_OK, true},
        {400, 400, KB_VERDICT_ANSWER, KB_E_BAD_REQUEST, false},
        {401, 401, KB_VERDICT_ANSWER, KB_E_DENIED, false},
        {403, 403, KB_VERDICT_ANSWER, KB_E_DENIED, false},
        {404, 404, KB_VERDICT_ANSWER, KB_E_NOT_FOUND, false},
        {405, 405, KB_VERDICT_ANSWER, KB_E_UNSUPPORTED, false},
        {409, 409, KB_VERDICT_ANSWER, KB_E_CONFLICT, false},
        {412, 412, KB_VERDICT_WAIT, KB_E_BUSY, false},
        {429, 429, KB_VERDICT_WAIT, KB_E_THROTTLED, false},
        {472, 474, KB_VERDICT_NEXT, KB_E_UNREACHABLE,
         false}, /* a server that only replicates, or is cut off */
        {400, 499, KB_VERDICT_ANSWER, KB_E_BAD_REQUEST, false},
        {501, 501, KB_VERDICT_NEXT, KB_E_SEALED, false}, /* nobody has set it up */
        {530, 530, KB_VERDICT_NEXT, KB_E_UNREACHABLE, false},
        {500, 599, KB_VERDICT_BROKEN, KB_E_UNREACHABLE, true},
};

/* What OpenBao says when nothing is broken: this one cannot, and that is all. */
static const struct {
        int status;
        const char *words;
        enum kb_error error;
        bool standby; /* who says so may have passed it on before */
} sayings[] = {
        {503, "sealed", KB_E_SEALED, false},         {503, "not active", KB_E_UNREACHABLE, true},
        {503, "no active", KB_E_UNREACHABLE, true},  {503, "standby", KB_E_UNREACHABLE, true},
        {503, "locked", KB_E_UNREACHABLE, false}, /* a namespace */
        {500, "not active", KB_E_UNREACHABLE, true}, {500, "node not found", KB_E_UNREACHABLE, true},
};

/*
 * A 500 in OpenBao's own words is about the request: a database behind it is down, say. It is no news about
 * the server, and must not keep everybody else from asking.
 */
static bool about_the_request(const struct kb_http_answer *answer, const char *errors)
{
        return answer->status == 500 && errors[0];
}

static struct kb_judgement judge_status(const struct kb_http_answer *answer, const char *errors, bool here)
{
        if (answer->status >= 300 && answer->status < 400) /* it is not the leader */
                return (struct kb_judgement){KB_VERDICT_NEXT, KB_E_UNREACHABLE, !here};
        for (size_t i = 0; i < KB_ARRAY_SIZE(sayings); i++)
                if (answer->status == sayings[i].status && strcasestr(errors, sayings[i].words))
                        return (struct kb_judgement){KB_VERDICT_NEXT, sayings[i].error,
                                                     sayings[i].standby && !here};
        if (about_the_request(answer, errors))
                return (struct kb_judgement){KB_VERDICT_NEXT, KB_E_UNREACHABLE, true};
        for (size_t i = 0; i < KB_ARRAY_SIZE(statuses); i++)
                if (answer->status >= statuses[i].first && answer->status <= statuses[i].last)
                        return (struct kb_judgement){statuses[i].verdict, statuses[i].error,
                                                     statuses[i].executed};
        return (struct kb_judgement){KB_VERDICT_BROKEN, KB_E_UNREACHABLE, true};
}

const char *kb_route_status_text(int status)
{
        static const struct {
                int first, last;
                const char *text;
        } texts[] = {
                {300, 399, "it is not the leader, and none of the addresses in Address= is"},
                {429, 429, "too many requests"},
                {472, 474, "it only replicates another cluster, or is cut off from it"},
                {501, 501, "it was never set up: bao operator init"},
                {503, 503, "it is sealed, or down for maintenance"},
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(texts); i++)
                if (status >= texts[i].first && status <= texts[i].last)
                        return texts[i].text;
        return "";
}

struct kb_judgement kb_route_judge(const struct kb_http_answer *answer, const char *errors, bool readable,
                                   bool here)
{
        struct kb_judgement judgement = {KB_VERDICT_BROKEN, KB_E_UNREACHABLE, answer->sent};

        switch (answer->result) {
        case KB_HTTP_ANSWERED:
                judgement = judge_status(answer, errors, here);
                if (judgement.error == KB_E_OK && !readable)
                        judgement = (struct kb_judgement){KB_VERDICT_OTHERS, KB_E_UNSUPPORTED, true};
                return judgement;
        case KB_HTTP_TOO_LARGE:
                return (struct kb_judgement){KB_VERDICT_OTHERS, KB_E_UNSUPPORTED, true};
        case KB_HTTP_INTERNAL:
                return (struct kb_judgement){KB_VERDICT_OURS, KB_E_INTERNAL, answer->sent};
        default:
                return judgement;
        }
}

/* --- which one --- */

struct kb_route kb_route_init(void)
{
        return (struct kb_route){.hint = -1};
}

static uint32_t bit(size_t i)
{
        return UINT32_C(1) << i;
}

static bool may(const struct kb_route *route, size_t i, uint32_t closed)
{
        return (closed & ~route->tried & bit(i)) != 0;
}

int kb_route_next(struct kb_route *route, size_t n, size_t current, uint32_t closed)
{
        int chosen = -1;

        if (route->hint >= 0 && may(route, (size_t)route->hint, closed))
                chosen = route->hint;
        for (size_t k = 0; k < n && chosen < 0; k++)
                if (may(route, (current + k) % n, closed))
                        chosen = (int)((current + k) % n);
        route->hint = -1;
        if (chosen >= 0)
                route->tried |= bit((size_t)chosen);
        return chosen;
}

unsigned kb_route_left(const struct kb_route *route, size_t n, uint32_t closed)
{
        unsigned left = 0;

        for (size_t i = 0; i < n; i++)
                left += may(route, i, closed);
        return left;
}
