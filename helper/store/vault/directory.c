/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/vault/directory.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "directory/head.h"
#include "helper/grant/base64.h"
#include "helper/store/vault/ask.h"

#define NO_MOUNT "this store has no directory: its file says no Mount= in [Directory]"

/* A shard that a head names. */
struct part {
        struct kb_shard is;
        struct kb_writer bytes; /* empty: not fetched yet */
};

/* The newest head that was seen, with what is there of its shards. */
struct document {
        struct kb_writer signed_head;
        uint64_t version, not_after;
        struct part *parts;
        uint32_t n_parts;
};

/* One question to the server, and who waits for its answer. */
struct job {
        struct job *next, **at;
        struct kb_vault_directory *directory;
        struct kb_request *request;
        struct kb_asking ask;
        struct kb_path path;
        uint64_t deadline;
        uint64_t have;    /* of a head: the version that the caller has */
        uint64_t version; /* of a shard: what it is part of */
        uint32_t part;    /* from 0: the head */
        bool again;       /* it was asked anew already, with a newer token */
};

struct kb_vault_directory {
        struct kb_engines_settings is;
        const char *mount, *path;
        struct document now;
        int64_t entry; /* how often the head was written, as the server counts; 0: never */
        struct job *jobs;
};

/* --- the document --- */

static void document_done(struct document *d)
{
        kb_writer_done(&d->signed_head);
        for (uint32_t i = 0; i < d->n_parts; i++)
                kb_writer_done(&d->parts[i].bytes);
        free(d->parts);
        *d = (struct document){0};
}

/* Takes over what an older one has fetched already. */
static void inherit(struct document *d, struct document *old)
{
        for (uint32_t i = 0; i < d->n_parts; i++)
                for (uint32_t k = 0; k < old->n_parts; k++)
                        if (old->parts[k].bytes.size > 0 &&
                            memcmp(&d->parts[i].is, &old->parts[k].is, sizeof(d->parts[i].is)) == 0) {
                                d->parts[i].bytes = old->parts[k].bytes;
                                old->parts[k].bytes = kb_writer_init(0);
                                break;
                        }
}

/* Takes signed_head, unless it fails: 0; -EBADMSG; -ENOMEM. */
static int document_new(struct document *ret, struct kb_writer *signed_head)
{
        struct kb_shard shard;
        struct kb_signed it;
        struct kb_head head;
        struct document d;
        uint32_t i = 0;

        if (kb_signed_get(KB_SPAN(signed_head->data, signed_head->size), &it) < 0 || it.shards.size > 0 ||
            kb_head_get(it.body, &head) < 0)
                return -EBADMSG;
        d = (struct document){.version = head.version,
                              .not_after = head.not_after,
                              .n_parts = head.shards.count,
                              .parts = calloc(head.shards.count + 1, sizeof(*d.parts))};
        if (!d.parts)
                return -ENOMEM;
        while (kb_head_next_shard(&head.shards, &shard))
                d.parts[i++] = (struct part){.is = shard, .bytes = kb_writer_init(0)};
        d.signed_head = *signed_head;
        *signed_head = kb_writer_init(0);
        *ret = d;
        return 0;
}

/* --- jobs --- */

static struct job *job_new(struct kb_vault_directory *d, struct kb_request *request)
{
        struct job *job = calloc(1, sizeof(*job));

        if (!job)
                return NULL;
        job->directory = d;
        job->request = request;
        job->ask.is = &d->is;
        job->deadline = kb_time_add(kb_now_monotonic(), d->is.request_usec);
        job->path = kb_path_init("");
        kb_path_many(&job->path, d->mount);
        kb_path_fixed(&job->path, "data");
        kb_path_many(&job->path, d->path);
        job->at = &d->jobs;
        job->next = d->jobs;
        if (job->next)
                job->next->at = &job->next;
        d->jobs = job;
        return job;
}

static void job_free(struct job *job)
{
        kb_ask_cancel(&job->ask);
        *job->at = job->next;
        if (job->next)
                job->next->at = job->at;
        free(job);
}

static void answer_head(struct job *job, bool unchanged)
{
        const struct document *now = &job->directory->now;

        if (unchanged)
                kb_request_reply(job->request, directory, .version = now->version, .unchanged = true,
                                 .not_after = now->not_after);
        else
                kb_request_reply(job->request, directory, .version = now->version, .parts = now->n_parts + 1,
                                 .not_after = now->not_after,
                                 .records = KB_SPAN(now->signed_head.data, now->signed_head.size));
        job_free(job);
}

static void answer_part(const struct document *now, struct kb_request *request, uint32_t part)
{
        const struct kb_writer *bytes = &now->parts[part - 1].bytes;

        kb_request_reply(request, directory, .version = now->version, .parts = now->n_parts + 1,
                         .not_after = now->not_after, .records = KB_SPAN(bytes->data, bytes->size));
}

#define job_fail(job, error, ...)                                                                           \
        do {                                                                                                \
                kb_request_fail((job)->request, error, __VA_ARGS__);                                        \
                job_free(job);                                                                              \
        } while (0)

static void start(struct job *job, kb_ask_done done)
{
        const struct kb_question question = {
                .method = KB_HTTP_GET, .path = &job->path, .deadline = job->deadline};
        struct kb_problem problem;
        enum kb_error error = kb_ask_start(&job->ask, &question, done, job, &problem);

        if (error != KB_E_OK)
                job_fail(job, error, "%s", problem.text);
}

/*
 * The bytes of an entry. False after the job has ended, or was begun anew. A member of that name, in base64,
 * is all that an entry has.
 */
static bool take_entry(struct job *job, const struct kb_asked *asked, const char *member, kb_ask_done done,
                       struct kb_writer *to)
{
        struct kb_span text;

        if (asked->stale && !job->again) {
                job->again = true;
                start(job, done);
                return false;
        }
        if (asked->error == KB_E_NOT_FOUND) {
                job_fail(job, KB_E_NOT_FOUND, "%s of the directory is missing at %s", member,
                         job->path.text);
                return false;
        }
        if (asked->error != KB_E_OK) {
                job_fail(job, asked->error, "%s: %s", job->path.text, asked->text);
                return false;
        }
        if (kb_json_string(kb_json_get(kb_json_get(asked->envelope.data, "data"), member), &text) < 0 ||
            kb_base64_decode(to, text) < 0 || kb_writer_end(to) < 0) {
                job_fail(job, KB_E_BAD_REQUEST, "%s is no %s of a directory", job->path.text, member);
                return false;
        }
        return true;
}

/* --- the head --- */

/* Also of an entry that was deleted. */
static void count_entry(struct kb_vault_directory *d, const struct kb_asked *asked)
{
        const struct kb_json_value *metadata = kb_json_get(asked->envelope.data, "metadata");

        if (kb_json_integer(kb_json_get(metadata, "version"), 0, INT64_MAX, &d->entry) < 0)
                d->entry = 0;
}

static void on_head(const struct kb_asked *asked, void *userdata)
{
        _cleanup_writer_ struct kb_writer bytes = kb_writer_init(KB_HEAD_MAX);
        struct document old, new;
        struct job *job = userdata;
        int r;

        if (asked->error == KB_E_OK || asked->error == KB_E_NOT_FOUND)
                count_entry(job->directory, asked);
        if (!take_entry(job, asked, "head", on_head, &bytes))
                return;
        r = document_new(&new, &bytes);
        if (r < 0) {
                job_fail(job, r == -EBADMSG ? KB_E_BAD_REQUEST : KB_E_BUSY,
                         r == -EBADMSG ? "%s is no head of a directory; a newer Keybearer may have made it"
                                       : "%s: memory is out",
                         job->path.text);
                return;
        }
        old = job->directory->now;
        inherit(&new, &old);
        document_done(&old);
        job->directory->now = new;
        answer_head(job, job->have == new.version);
}

/* --- a shard --- */

/* One that is kept has to be the right one: it will not be looked at again. */
static bool is_shard(const struct kb_shard *shard, const struct kb_writer *bytes)
{
        uint8_t hash[KB_SHARD_HASH_SIZE];

        return bytes->size == shard->size &&
               EVP_Digest(bytes->data, bytes->size, hash, NULL, EVP_sha256(), NULL) == 1 &&
               memcmp(hash, shard->hash, sizeof(hash)) == 0;
}

static void on_shard(const struct kb_asked *asked, void *userdata)
{
        _cleanup_writer_ struct kb_writer bytes = kb_writer_init(KB_SHARD_MAX);
        struct job *job = userdata;
        struct document *now = &job->directory->now;
        struct part *part;

        if (!take_entry(job, asked, "shard", on_shard, &bytes))
                return;
        if (now->version != job->version || job->part > now->n_parts) { /* who asks begins anew then */
                job_fail(job, KB_E_CONFLICT, "the directory was changed meanwhile");
                return;
        }
        part = &now->parts[job->part - 1];
        if (!is_shard(&part->is, &bytes)) {
                job_fail(job, KB_E_BAD_REQUEST, "%s is not the shard that its name says", job->path.text);
                return;
        }
        kb_writer_done(&part->bytes);
        part->bytes = bytes;
        bytes = kb_writer_init(0);
        answer_part(now, job->request, job->part);
        job_free(job);
}

/* --- the verb --- */

static void get_shard(struct job *job, uint32_t part)
{
        const struct document *now = &job->directory->now;
        char name[KB_SHARD_NAME_SIZE];

        job->part = part;
        job->version = now->version;
        kb_shard_name(&now->parts[part - 1].is, name);
        kb_path_fixed(&job->path, "shards");
        kb_path_fixed(&job->path, name);
        start(job, on_shard);
}

void kb_vault_directory_get(struct kb_vault_directory *d, struct kb_request *request)
{
        struct kb_directory_request q;
        struct job *job;

        if (!kb_request_decode(request, directory, &q))
                return;
        if (!d->mount || !d->mount[0])
                kb_request_fail(request, KB_E_UNSUPPORTED, NO_MOUNT);
        else if (q.part > d->now.n_parts)
                kb_request_fail(request, KB_E_CONFLICT, "there are %u portions: begin with the first",
                                d->now.n_parts + 1);
        else if (q.part > 0 && d->now.parts[q.part - 1].bytes.size > 0)
                answer_part(&d->now, request, q.part);
        else if (!(job = job_new(d, request)))
                kb_request_fail(request, KB_E_BUSY, "memory is out");
        else if (q.part > 0)
                get_shard(job, q.part);
        else {
                job->have = q.have;
                kb_path_fixed(&job->path, "head");
                start(job, on_head);
        }
}

/* --- writing --- */

static void on_put(const struct kb_asked *asked, void *userdata)
{
        struct job *job = userdata;

        if (asked->error == KB_E_OK) {
                kb_request_reply(job->request, store_admin, .rows = (struct kb_list){0});
                job_free(job);
        } else if (strstr(asked->text, "check-and-set"))
                job_fail(job, KB_E_CONFLICT, "somebody else has published a directory meanwhile: try again");
        else
                job_fail(job, asked->error, "%s: %s", job->path.text, asked->text);
}

static bool is_entry(const char *name)
{
        static const char folder[] = "shards/";

        return strcmp(name, "head") == 0 ||
               (strncmp(name, folder, strlen(folder)) == 0 &&
                strspn(name + strlen(folder), "0123456789abcdef") == KB_SHARD_NAME_SIZE - 1 &&
                strlen(name) == strlen(folder) + KB_SHARD_NAME_SIZE - 1);
}

static void put(struct job *job, const char *name, struct kb_span value)
{
        _cleanup_writer_ struct kb_writer text = kb_writer_init(KB_BODY_MAX);
        _cleanup_body_ struct kb_body body = kb_body_init();
        bool head = strcmp(name, "head") == 0;
        const struct kb_question question = {.method = KB_HTTP_POST,
                                             .path = &job->path,
                                             .body = &body,
                                             .once = head, /* the second time it is somebody else's */
                                             .deadline = job->deadline};
        struct kb_problem problem;
        enum kb_error error;

        kb_base64_encode(&text, value);
        kb_body_open(&body, "data");
        kb_body_bytes(&body, head ? "head" : "shard", KB_SPAN(text.data, text.size));
        kb_body_close(&body);
        if (head) {
                kb_body_open(&body, "options");
                kb_body_number(&body, "cas", job->directory->entry);
                kb_body_close(&body);
        }
        kb_path_many(&job->path, name);
        error = kb_writer_end(&text) < 0
                        ? kb_problem(&problem, KB_E_BAD_REQUEST, "that is too much for one entry")
                        : kb_ask_start(&job->ask, &question, on_put, job, &problem);
        if (error != KB_E_OK)
                job_fail(job, error, "%s", problem.text);
}

void kb_vault_directory_put(struct kb_vault_directory *d, struct kb_request *request,
                            const struct kb_store_admin_request *what)
{
        struct kb_span value;
        struct job *job;

        if (!is_entry(what->name) || !kb_list_find(what->fields, "value", &value))
                kb_request_fail(request, KB_E_BAD_REQUEST, "that is no entry of a directory");
        else if (!d->mount || !d->mount[0])
                kb_request_fail(request, KB_E_UNSUPPORTED, NO_MOUNT);
        else if (!(job = job_new(d, request)))
                kb_request_fail(request, KB_E_BUSY, "memory is out");
        else
                put(job, what->name, value);
}

/* --- life --- */

int kb_vault_directory_new(struct kb_vault_directory **ret, const struct kb_engines_settings *settings,
                           const char *mount, const char *path)
{
        struct kb_vault_directory *d = calloc(1, sizeof(*d));

        if (!d)
                return -ENOMEM;
        d->is = *settings;
        d->mount = mount;
        d->path = path;
        *ret = d;
        return 0;
}

void kb_vault_directory_free(struct kb_vault_directory *d)
{
        if (!d)
                return;
        while (d->jobs)
                job_free(d->jobs);
        document_done(&d->now);
        free(d);
}

bool kb_vault_directory_idle(const struct kb_vault_directory *d)
{
        return !d->jobs;
}
