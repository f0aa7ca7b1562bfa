/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/log/verify.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "common/hex.h"
#include "helper/log/files.h"
#include "helper/log/scan.h"

/* A forged number must not keep us computing keys for ever; a log reaches this after 1e11 records. */
#define ANCHORS_MAX 100000000

struct verifier {
        const struct kb_verify_options *options;
        struct kb_verify_result result;
        int dir_fd;
        char log[KB_LOG_ID_MAX];
        struct kb_anchor_key key; /* of the anchor that should come next, when there is a first key */

        uint64_t file;     /* where we are */
        uint64_t expected; /* sequence number, 0 at the very beginning */
        uint8_t hash[KB_HASH_SIZE];
        bool after_damage; /* what the next record follows is not known */
        uint64_t last_anchor;
        uint64_t removed_up_to; /* as the last log-trimmed says */
};

static void find(struct verifier *v, enum kb_verify_problem problem, uint64_t file, uint64_t offset,
                 uint64_t sequence)
{
        struct kb_verify_result *r = &v->result;

        if (r->n_findings < KB_VERIFY_FINDINGS_MAX)
                r->findings[r->n_findings] = (struct kb_verify_finding){problem, file, offset, sequence};
        r->n_findings++;
}

/* --- anchors --- */

static bool kept_matches(const struct verifier *v, const struct kb_anchor *kept,
                         const struct kb_record *record, const struct kb_event *event)
{
        char mac[2 * KB_HASH_SIZE + 1];

        kb_hex(KB_SPAN(kept->mac, KB_HASH_SIZE), mac);
        return record->event == KB_EVENT_ANCHOR && event->anchor == kept->number && event->mac &&
               strcmp(event->mac, mac) == 0 && memcmp(record->previous, kept->previous, KB_HASH_SIZE) == 0;
}

/* Every kept anchor says what the record of its sequence number must be. */
static void compare_kept(struct verifier *v, const struct kb_record *record, const struct kb_event *event,
                         uint64_t offset)
{
        for (size_t i = 0; i < v->options->n_kept; i++) {
                const struct kb_anchor *kept = &v->options->kept[i];

                if (kept->sequence != record->sequence || strcmp(kept->log, v->log) != 0)
                        continue;
                if (!kept_matches(v, kept, record, event))
                        find(v, KB_VERIFY_KEPT_DIFFERS, v->file, offset, v->result.by_kept + 1);
                else if (record->sequence - 1 > v->result.by_kept)
                        v->result.by_kept = record->sequence - 1;
        }
}

static int move_key_to(struct verifier *v, uint64_t number)
{
        int r = 0;

        if (number < v->key.number || number > ANCHORS_MAX)
                return -ERANGE;
        while (r == 0 && v->key.number < number)
                r = kb_anchor_key_next(&v->key);
        return r;
}

static bool mac_is_good(struct verifier *v, const struct kb_record *record, const struct kb_event *event)
{
        struct kb_anchor anchor = {.number = event->anchor, .sequence = record->sequence};
        char mac[2 * KB_HASH_SIZE + 1];

        memcpy(anchor.log, v->log, sizeof(anchor.log));
        memcpy(anchor.previous, record->previous, KB_HASH_SIZE);
        if (move_key_to(v, anchor.number) < 0 || kb_anchor_sign(&anchor, &v->key) < 0)
                return false;
        kb_hex(KB_SPAN(anchor.mac, KB_HASH_SIZE), mac);
        return event->mac && strcmp(event->mac, mac) == 0;
}

static void check_anchor(struct verifier *v, const struct kb_record *record, const struct kb_event *event,
                         uint64_t offset)
{
        bool known = v->last_anchor > 0 || v->result.first == 1; /* which number it must have */

        v->result.anchors++;
        if (known && event->anchor != v->last_anchor + 1)
                find(v, KB_VERIFY_ANCHOR_NUMBER, v->file, offset, record->sequence);
        v->last_anchor = event->anchor;
        if (!v->result.with_key)
                return;
        if (mac_is_good(v, record, event))
                v->result.by_key = record->sequence - 1;
        else /* everything since the last good one can be rewritten */
                find(v, KB_VERIFY_ANCHOR_MAC, v->file, offset, v->result.by_key + 1);
}

/* --- records --- */

static void check_place(struct verifier *v, const struct kb_record *record, uint64_t offset)
{
        static const uint8_t zeros[KB_HASH_SIZE];

        if (v->expected == 0) {
                v->result.first = record->sequence;
                if (record->sequence == 1 && memcmp(record->previous, zeros, KB_HASH_SIZE) != 0)
                        find(v, KB_VERIFY_CHAIN, v->file, offset, 1);
        } else if (v->after_damage) {
                v->after_damage = false; /* what it follows is not known */
        } else if (record->sequence != v->expected) {
                find(v, KB_VERIFY_GAP, v->file, offset,
                     v->expected < record->sequence ? v->expected : record->sequence);
        } else if (memcmp(record->previous, v->hash, KB_HASH_SIZE) != 0) {
                /* The one before is altered, or this one is: neither can be relied on. */
                find(v, KB_VERIFY_CHAIN, v->file, offset, record->sequence - 1);
        }
}

static int check_record(struct verifier *v, const struct kb_record *record, struct kb_span whole,
                        uint64_t offset)
{
        struct kb_event event;

        check_place(v, record, offset);
        if (kb_record_event(record, &event) < 0) {
                find(v, KB_VERIFY_DAMAGED, v->file, offset, record->sequence);
                event = (struct kb_event){};
        }
        if (event.id == KB_EVENT_CHECKPOINT && event.log && strcmp(event.log, v->log) != 0)
                find(v, KB_VERIFY_OTHER_LOG, v->file, offset, record->sequence);
        if (event.id == KB_EVENT_LOG_TRIMMED)
                v->removed_up_to = event.last;
        if (event.id == KB_EVENT_ANCHOR)
                check_anchor(v, record, &event, offset);
        compare_kept(v, record, &event, offset);
        v->expected = record->sequence + 1;
        v->result.last = record->sequence;
        v->result.records++;
        return kb_record_hash(whole, v->hash);
}

static int check_file(struct verifier *v, uint64_t first, bool newest)
{
        _cleanup_close_ int fd = kb_log_file_open(v->dir_fd, first, O_RDONLY);
        _cleanup_scan_ struct kb_scan scan = {};
        struct kb_record record;
        struct kb_span whole;
        int r;

        v->file = first;
        v->result.files++;
        if (fd < 0)
                return fd;
        r = kb_scan_init(&scan, fd, 0);
        if (r < 0)
                return r;
        for (;;) {
                uint64_t offset = scan.offset;

                r = kb_scan_next(&scan, &record, &whole);
                if (r > 0) {
                        r = check_record(v, &record, whole, offset);
                } else if (r == -EBADMSG || r == -ENODATA) {
                        r = kb_scan_skip(&scan);
                        if (r == 0 && newest && offset > 0) {
                                v->result.torn = scan.offset - offset;
                                return 0;
                        }
                        find(v, KB_VERIFY_DAMAGED, first, offset, v->expected > 0 ? v->expected : first);
                        v->after_damage = true;
                        if (r == 0)
                                return 0;
                } else {
                        return r;
                }
                if (r < 0)
                        return r;
        }
}

/* --- what is around the records --- */

/* before: the key file as it was before the records were read, so that a writer at work does not confuse us.
 */
static void check_key_file(struct verifier *v, const struct kb_anchor_key *before, bool there)
{
        uint64_t end = v->result.last + 1;

        if (!there) {
                find(v, KB_VERIFY_KEY_FILE, 0, 0, end);
                return;
        }
        if (before->number > v->last_anchor + 1)
                find(v, KB_VERIFY_KEY_AHEAD, 0, 0, end);
        if (v->result.with_key) {
                char id[KB_LOG_ID_MAX];

                (void)kb_first_key_parse(v->options->first_key, id, &v->key);
                if (move_key_to(v, before->number) < 0 ||
                    memcmp(v->key.key, before->key, sizeof(before->key)) != 0)
                        find(v, KB_VERIFY_KEY_FILE, 0, 0, end);
        }
}

static void check_ends(struct verifier *v)
{
        struct kb_verify_result *r = &v->result;

        if (r->first > 1 && v->removed_up_to + 1 >= r->first)
                r->trimmed = r->first - 1;
        else if (r->first > 1)
                find(v, KB_VERIFY_BEGINNING, r->first, 0, 0);
        for (size_t i = 0; i < v->options->n_kept; i++) {
                const struct kb_anchor *kept = &v->options->kept[i];

                if (strcmp(kept->log, v->log) != 0)
                        find(v, KB_VERIFY_OTHER_LOG, 0, 0, 0);
                else if (kept->sequence > r->last)
                        find(v, KB_VERIFY_KEPT_MISSING, 0, 0, r->last + 1);
        }
}

/* The bound: as far as an anchor reaches, but not into anything that a finding touches. */
static void conclude(struct kb_verify_result *r)
{
        r->proven = r->by_key > r->by_kept ? r->by_key : r->by_kept;
        for (size_t i = 0; i < r->n_findings && i < KB_VERIFY_FINDINGS_MAX; i++)
                if (r->findings[i].sequence > 0 && r->findings[i].sequence <= r->proven)
                        r->proven = r->findings[i].sequence - 1;
        if (r->proven < r->first)
                r->proven = 0;
}

static int prepare(struct verifier *v, const char *dir)
{
        struct kb_log_identity identity;
        char id[KB_LOG_ID_MAX];
        int r;

        v->result.with_kept = v->options->n_kept > 0;
        v->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (v->dir_fd < 0)
                return -errno;
        r = kb_log_identity_load(v->dir_fd, &identity);
        if (r < 0)
                return r;
        memcpy(v->log, identity.id, sizeof(v->log));
        kb_wipe(&identity, sizeof(identity));
        if (!v->options->first_key)
                return 0;
        v->result.with_key = true;
        r = kb_first_key_parse(v->options->first_key, id, &v->key);
        if (r == 0 && strcmp(id, v->log) != 0)
                find(v, KB_VERIFY_OTHER_LOG, 0, 0, 0);
        return r;
}

int kb_verify(const char *dir, const struct kb_verify_options *options, struct kb_verify_result *ret)
{
        struct verifier v = {.options = options, .dir_fd = -1};
        _cleanup_log_files_ struct kb_log_files files = {};
        struct kb_anchor_key on_disk = {};
        _cleanup_close_ int dir_fd = -1;
        bool there;
        int r;

        r = prepare(&v, dir);
        dir_fd = v.dir_fd;
        if (r < 0)
                return r;
        there = kb_anchor_key_load(v.dir_fd, &on_disk) == 0;
        r = kb_log_files_list(v.dir_fd, &files);
        for (size_t i = 0; i < files.n && r == 0; i++)
                r = check_file(&v, files.first[i], i + 1 == files.n);
        if (r < 0)
                return r;
        check_key_file(&v, &on_disk, there);
        check_ends(&v);
        conclude(&v.result);
        kb_wipe(&v.key, sizeof(v.key));
        kb_wipe(&on_disk, sizeof(on_disk));
        *ret = v.result;
        return 0;
}
