/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/local/long_work.h"

#include <errno.h>
#include <stdlib.h>

#include "helper/store/local/damage.h"
struct kb_long_work {
        struct kb_admin_call *call;
        const struct kb_long_kind *kind;
        void *state;
};

void kb_long_free(struct kb_long_work *work)
{
        if (!work)
                return;
        work->kind->free(work->state);
        kb_admin_call_free(work->call);
        free(work);
}

static void end(struct kb_long_work *work, int r)
{
        struct kb_admin_call *call = work->call;
        enum kb_error error = KB_E_OK;

        if (r < 0) {
                error = kb_damage_problem(call->service->local, &call->problem, r, work->kind->doing);
                if (work->kind->when_damaged && (r == -EBADMSG || r == -ENOKEY))
                        kb_problem_add(&call->problem, work->kind->when_damaged);
        } else if (work->kind->finish)
                error = work->kind->finish(work->state, call);
        call->service->work = NULL;
        work->call = NULL;
        kb_long_free(work);
        kb_admin_answer(call, error);
}

static void next(struct kb_request *request, void *context)
{
        struct kb_long_work *work = context;
        struct kb_progress_record progress = {};
        int r;

        if (work->kind->needs_peer && kb_request_abandoned(request)) {
                end(work, -ECANCELED);
                return;
        }
        r = work->kind->step(work->state, &progress);
        if (r <= 0) {
                end(work, r);
                return;
        }
        kb_request_progress(request, &progress);
        kb_request_when_sent(request, next, work);
}

bool kb_long_busy(struct kb_admin_call *call)
{
        if (!call->service->work)
                return false;
        kb_problem(&call->problem, KB_E_BUSY, "a backup, restore or rotation is under way: try again later");
        return true;
}

void kb_long_start(struct kb_admin_call *call, const struct kb_long_kind *kind, void *state)
{
        bool busy = kb_long_busy(call);
        struct kb_long_work *work = busy ? NULL : calloc(1, sizeof(*work));

        if (!work) {
                if (!busy)
                        kb_problem_errno(&call->problem, -ENOMEM, kind->doing);
                kind->free(state);
                kb_admin_answer(call, call->problem.error);
                return;
        }
        *work = (struct kb_long_work){.call = call, .kind = kind, .state = state};
        call->service->work = work;
        next(call->request, work);
}
