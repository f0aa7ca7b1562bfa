/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/log/anchor.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "common/file.h"
#include "common/hex.h"

#define FILE_NAME     "key"
#define LABEL         "keybearer anchor 1"
#define NEXT          "next"
#define ANCHOR_PREFIX "kb-anchor:1"
#define KEY_PREFIX    "kb-first-key:1"

static int hmac(const struct kb_anchor_key *key, struct kb_span message, uint8_t ret[KB_HASH_SIZE])
{
        uint8_t mac[KB_HASH_SIZE];

        if (!HMAC(EVP_sha256(), key->key, sizeof(key->key), message.data, message.size, mac, NULL))
                return -ENOMEM;
        memcpy(ret, mac, sizeof(mac));
        kb_wipe(mac, sizeof(mac));
        return 0;
}

int kb_anchor_sign(struct kb_anchor *anchor, const struct kb_anchor_key *key)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(512);

        if (key->number != anchor->number)
                return -EINVAL;
        kb_write_string(&w, LABEL, sizeof(LABEL));
        kb_write_string(&w, anchor->log, KB_LOG_ID_MAX);
        kb_write_u64(&w, anchor->number);
        kb_write_u64(&w, anchor->sequence);
        kb_write_raw(&w, KB_SPAN(anchor->previous, KB_HASH_SIZE));
        if (kb_writer_end(&w) < 0)
                return -ENOMEM;
        return hmac(key, KB_SPAN(w.data, w.size), anchor->mac);
}

int kb_anchor_key_next(struct kb_anchor_key *key)
{
        int r;

        r = hmac(key, KB_SPAN_STRING(NEXT), key->key);
        if (r == 0)
                key->number++;
        return r;
}

int kb_anchor_key_make(struct kb_anchor_key *ret)
{
        struct kb_anchor_key key = {.number = 1};

        if (getrandom(key.key, sizeof(key.key), 0) != sizeof(key.key))
                return -errno;
        *ret = key;
        kb_wipe(&key, sizeof(key));
        return 0;
}

int kb_anchor_key_store(int dir_fd, const struct kb_anchor_key *key)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(64);

        kb_write_u64(&w, key->number);
        kb_write_raw(&w, KB_SPAN(key->key, sizeof(key->key)));
        if (kb_writer_end(&w) < 0)
                return -ENOMEM;
        return kb_file_write_at(dir_fd, FILE_NAME, KB_SPAN(w.data, w.size), 0600);
}

int kb_anchor_key_load(int dir_fd, struct kb_anchor_key *ret)
{
        uint8_t bytes[8 + KB_ANCHOR_KEY_SIZE];
        struct kb_reader r = kb_reader_init(KB_SPAN(bytes, sizeof(bytes)));
        struct kb_anchor_key key;
        int error;

        error = kb_file_read_exactly_at(dir_fd, FILE_NAME, bytes, sizeof(bytes));
        if (error < 0)
                return error;
        key.number = kb_read_u64(&r);
        memcpy(key.key, r.at, sizeof(key.key));
        *ret = key;
        kb_wipe(&key, sizeof(key));
        kb_wipe(bytes, sizeof(bytes));
        return 0;
}

/* --- lines --- */

/* The next part up to ':' or the end; false when there is none. */
static bool next_part(const char **at, const char **ret, size_t *ret_size)
{
        if (!*at)
                return false;
        *ret = *at;
        *ret_size = strcspn(*at, ": \t\r\n");
        *at = (*at)[*ret_size] == ':' ? *at + *ret_size + 1 : NULL;
        return true;
}

static bool skip_prefix(const char **at, const char *prefix)
{
        size_t n = strlen(prefix);

        *at += strspn(*at, " \t\r\n");
        if (strncmp(*at, prefix, n) != 0 || (*at)[n] != ':')
                return false;
        *at += n + 1;
        return true;
}

static bool next_bytes(const char **at, uint8_t *ret, size_t size)
{
        const char *part;
        size_t n;

        return next_part(at, &part, &n) && kb_unhex(part, n, ret, size);
}

static bool next_number(const char **at, uint64_t *ret)
{
        const char *part;
        uint64_t value = 0;
        size_t n;

        if (!next_part(at, &part, &n) || n == 0 || n > 19 || strspn(part, "0123456789") < n)
                return false;
        for (size_t i = 0; i < n; i++)
                value = value * 10 + (uint64_t)(part[i] - '0');
        *ret = value;
        return true;
}

static bool next_log_id(const char **at, char ret[KB_LOG_ID_MAX])
{
        uint8_t id[(KB_LOG_ID_MAX - 1) / 2];

        if (!next_bytes(at, id, sizeof(id)))
                return false;
        kb_hex(KB_SPAN(id, sizeof(id)), ret);
        return true;
}

void kb_anchor_format(const struct kb_anchor *anchor, char ret[KB_ANCHOR_LINE_MAX])
{
        char previous[2 * KB_HASH_SIZE + 1], mac[2 * KB_HASH_SIZE + 1];

        kb_hex(KB_SPAN(anchor->previous, KB_HASH_SIZE), previous);
        kb_hex(KB_SPAN(anchor->mac, KB_HASH_SIZE), mac);
        snprintf(ret, KB_ANCHOR_LINE_MAX, ANCHOR_PREFIX ":%s:%" PRIu64 ":%" PRIu64 ":%s:%s", anchor->log,
                 anchor->number, anchor->sequence, previous, mac);
}

int kb_anchor_parse(const char *line, struct kb_anchor *ret)
{
        struct kb_anchor anchor = {};

        if (!skip_prefix(&line, ANCHOR_PREFIX) || !next_log_id(&line, anchor.log) ||
            !next_number(&line, &anchor.number) || !next_number(&line, &anchor.sequence) ||
            !next_bytes(&line, anchor.previous, KB_HASH_SIZE) ||
            !next_bytes(&line, anchor.mac, KB_HASH_SIZE) || line)
                return -EINVAL;
        *ret = anchor;
        return 0;
}

void kb_first_key_format(const char *log_id, const struct kb_anchor_key *key, char ret[KB_FIRST_KEY_MAX])
{
        char hex[2 * KB_ANCHOR_KEY_SIZE + 1];

        kb_hex(KB_SPAN(key->key, sizeof(key->key)), hex);
        snprintf(ret, KB_FIRST_KEY_MAX, KEY_PREFIX ":%s:%s", log_id, hex);
        kb_wipe(hex, sizeof(hex));
}

int kb_first_key_parse(const char *line, char ret_log_id[KB_LOG_ID_MAX], struct kb_anchor_key *ret)
{
        struct kb_anchor_key key = {.number = 1};
        char id[KB_LOG_ID_MAX];

        if (!skip_prefix(&line, KEY_PREFIX) || !next_log_id(&line, id) ||
            !next_bytes(&line, key.key, sizeof(key.key)) || line)
                return -EINVAL;
        memcpy(ret_log_id, id, sizeof(id));
        *ret = key;
        kb_wipe(&key, sizeof(key));
        return 0;
}
