/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/local/service.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

#include "common/clock.h"
#include "helper/server/process.h"
#include "helper/store/local/directory.h"
#include "helper/store/local/document.h"
#include "helper/store/local/long_work.h"
#include "helper/store/local/pki.h"
#include "helper/store/local/seal.h"

#define ROOT_KEY_CREDENTIAL "root-key"
#define THREADS_MAX         4 /* 16 MiB each while they hash */
#define NICE                10
#define RETRY_USEC          KB_USEC_PER_SEC
#define RECENT              1024
#define TIDY_USEC           (60 * KB_USEC_PER_SEC)

void kb_service_fail(struct kb_request *request, const struct kb_problem *problem)
{
        kb_request_fail(request, problem->error, "%s", problem->text);
}

/* --- the credential --- */

int kb_service_credential(const char *credentials, char ret_name[65], uint8_t ret_seed[KB_SLOT_SEED_SIZE])
{
        _cleanup_close_ int fd = -1;
        char path[PATH_MAX], text[KB_SLOT_TEXT_MAX + 1];
        ssize_t n;
        int r;

        if (!credentials)
                return -ENOENT;
        snprintf(path, sizeof(path), "%s/" ROOT_KEY_CREDENTIAL, credentials);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        n = read(fd, text, sizeof(text));
        if (n <= 0)
                return n < 0 ? -errno : -ENOENT;
        r = kb_slot_parse_text(KB_SPAN(text, (size_t)n), ret_name, ret_seed);
        kb_wipe(text, sizeof(text));
        return r;
}

void kb_service_unseal(struct kb_service *s, const char *credentials)
{
        struct kb_problem problem;
        uint8_t seed[KB_SLOT_SEED_SIZE];
        char name[65];
        int r;

        if (s->local->state != KB_LOCAL_SEALED)
                return;
        r = kb_service_credential(credentials, name, seed);
        if (r == -ENOENT) {
                kb_process_log(LOG_NOTICE,
                               "no credential " ROOT_KEY_CREDENTIAL " was passed: the store stays sealed");
                return;
        }
        if (r < 0) {
                kb_process_log(LOG_ERR, "the credential " ROOT_KEY_CREDENTIAL " cannot be used: %s",
                               strerror(-r));
                return;
        }
        if (kb_slot_unseal(s->local, name, seed, kb_now_realtime(), &problem) != KB_E_OK)
                kb_process_log(LOG_ERR, "%s", problem.text);
        kb_wipe(seed, sizeof(seed));
}

/* --- life --- */

/* Answers that may be asked for again hold private keys: they are not left lying longer than they are of
 * use. */
static int on_tidy(sd_event_source *source, uint64_t now, void *userdata)
{
        struct kb_service *s = userdata;
        struct kb_problem problem;
        int r = s->local->state == KB_LOCAL_OPEN ? kb_pki_forget_answers(s->local, kb_now_realtime()) : 0;

        if (r < 0) {
                kb_problem_errno(&problem, r, "wiping old answers");
                kb_process_log(LOG_WARNING, "%s", problem.text);
        }
        r = sd_event_source_set_time_relative(source, TIDY_USEC);
        return r < 0 ? r : sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/*
 * Hashing takes all of a processor for as long as it lasts. One stays free: whoever waits for a secret, of
 * this store or of any other process, waits for each step of the way behind what runs there.
 */
static unsigned threads(void)
{
        long processors = sysconf(_SC_NPROCESSORS_ONLN);

        return processors <= 2 ? 1 : processors > THREADS_MAX ? THREADS_MAX : (unsigned)processors - 1;
}

int kb_service_new(struct kb_service **ret, sd_event *event, const char *folder, const char *credentials)
{
        _cleanup_(kb_service_freep) struct kb_service *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return -ENOMEM;
        s->event = event;
        r = kb_pool_new(&s->pool, event, threads(), NICE);
        if (r >= 0)
                r = sd_event_add_time_relative(event, &s->tidy, CLOCK_MONOTONIC, TIDY_USEC, TIDY_USEC / 10,
                                               on_tidy, s);
        if (r >= 0)
                r = kb_recent_new(&s->recent, RECENT);
        if (r >= 0)
                r = kb_local_new(&s->local, folder);
        if (r < 0)
                return r;
        kb_service_unseal(s, credentials);
        if (s->local->state == KB_LOCAL_CLOSED || s->local->state == KB_LOCAL_OLD)
                kb_process_log(LOG_ERR, "%s", s->local->why.text);
        *ret = take_ptr(s);
        return 0;
}

void kb_service_free(struct kb_service *s)
{
        if (!s)
                return;
        sd_event_source_disable_unref(s->tidy);
        kb_pool_free(s->pool);
        kb_long_free(s->work);
        kb_making_free(s->making);
        kb_document_free(s->document);
        kb_recent_free(s->recent);
        kb_local_free(s->local);
        free(s);
}

void kb_service_retry(struct kb_service *s)
{
        uint64_t now = kb_now_monotonic();

        if (s->local->state != KB_LOCAL_CLOSED || now < s->reopened + RETRY_USEC)
                return;
        s->reopened = now;
        kb_local_reopen(s->local);
        kb_service_unseal(s, secure_getenv("CREDENTIALS_DIRECTORY"));
}

bool kb_service_ready(struct kb_service *s, struct kb_request *request)
{
        struct kb_problem problem;

        kb_service_retry(s);
        if (kb_local_ready(s->local, &problem) == KB_E_OK)
                return true;
        kb_service_fail(request, &problem);
        return false;
}
