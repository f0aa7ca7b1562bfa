/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/vault/ask.h"

#include <errno.h>
#include <stdio.h>

static void refused(struct kb_asking *ask, enum kb_error error, bool stale)
{
        struct kb_asked asked = {.error = error, .text = ask->text, .stale = stale};

        if (error != KB_E_DENIED) {
                asked.error = KB_E_UNREACHABLE;
                asked.text = "the server does not know this host's token any more: it logs in anew";
        }
        ask->done(&asked, ask->userdata);
}

static void on_judged(enum kb_error error, void *userdata)
{
        struct kb_asking *ask = userdata;

        ask->judgement = NULL;
        refused(ask, error, false);
}

/* Whether the token was meant, or what was asked for. */
static void judge(struct kb_asking *ask, const struct kb_cluster_answer *answer)
{
        int r;

        snprintf(ask->text, sizeof(ask->text), "%s", answer->text);
        r = kb_login_judge(ask->is->login, ask->generation, on_judged, ask, &ask->judgement);
        if (r < 0)
                refused(ask, KB_E_EXPIRED, r == -ESTALE);
}

static void on_answer(const struct kb_cluster_answer *answer, void *userdata)
{
        struct kb_asking *ask = userdata;

        ask->call = NULL;
        if (answer->error == KB_E_DENIED && ask->generation > 0) {
                judge(ask, answer);
                return;
        }
        ask->done(&(struct kb_asked){.error = answer->error,
                                     .text = answer->text,
                                     .doubt = answer->doubt,
                                     .envelope = answer->envelope},
                  ask->userdata);
}

enum kb_error kb_ask_start(struct kb_asking *ask, const struct kb_question *question, kb_ask_done done,
                           void *userdata, struct kb_problem *problem)
{
        const struct kb_problem *login = kb_login_problem(ask->is->login);
        struct kb_cluster_request request = {
                .method = question->method,
                .path = question->path->text,
                .namespace = ask->is->namespace,
                .once = question->once,
                .patient = question->patient,
                .deadline = question->deadline,
                .done = on_answer,
                .userdata = ask,
        };
        int r;

        if (kb_path_end(question->path) < 0)
                return kb_problem(
                        problem, KB_E_BAD_REQUEST,
                        "that is no path of a server: a part of it ends in a period, or it is too long");
        if (question->body && kb_body_end(question->body) < 0)
                return kb_problem(problem, KB_E_BAD_REQUEST, "the parameters are too long, or no UTF-8");
        if (!question->token && login->error != KB_E_OK)
                return kb_problem(problem, login->error, "%s", login->text);
        if (question->body)
                request.body = KB_SPAN(question->body->writer.data, question->body->writer.size);
        request.token = question->token ? *question->token : kb_login_token(ask->is->login);
        ask->generation = question->token ? 0 : kb_login_generation(ask->is->login);
        ask->done = done;
        ask->userdata = userdata;
        r = kb_cluster_start(ask->is->cluster, &request, &ask->call);
        if (r == -EINVAL)
                return kb_problem(problem, KB_E_BAD_REQUEST, "that is no token: no header can hold it");
        return r < 0 ? kb_problem_errno(problem, r, "asking the server") : KB_E_OK;
}

void kb_ask_cancel(struct kb_asking *ask)
{
        kb_cluster_cancel(ask->call);
        kb_login_judge_cancel(ask->judgement);
        ask->call = NULL;
        ask->judgement = NULL;
}
