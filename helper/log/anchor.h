/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Anchors. An anchor is a record that carries
 *
 *   mac = HMAC-SHA256(key of its number, LABEL | id of the log | number | sequence | previous)
 *
 * with LABEL "keybearer anchor 1"; keybearer-log(5) has the bytes. `previous` is the hash of the record
 * before it, and so stands for all of them. Then the key moves on,
 *
 *   key of number + 1 = HMAC-SHA256(key of number, "next")
 *
 * and the old one is gone: whoever becomes root later cannot make an old anchor anew. The first key (of
 * anchor 1) is shown once when the log is made, and kept by a person. As a line, to be kept where root of
 * this host cannot change it:
 *
 *   kb-anchor:1:<log>:<number>:<sequence>:<previous>:<mac>
 */

#include <stdint.h>

#include "helper/log/identity.h"
#include "helper/log/record.h"

#define KB_ANCHOR_KEY_SIZE 32
#define KB_ANCHOR_LINE_MAX 256
#define KB_FIRST_KEY_MAX   128

struct kb_anchor_key {
        uint64_t number; /* of the anchor it is for */
        uint8_t key[KB_ANCHOR_KEY_SIZE];
};

struct kb_anchor {
        char log[KB_LOG_ID_MAX];
        uint64_t number;
        uint64_t sequence; /* of the anchor's record; it speaks for those before */
        uint8_t previous[KB_HASH_SIZE];
        uint8_t mac[KB_HASH_SIZE];
};

/* Fills anchor->mac. 0, -EINVAL when the key is for another number, -ENOMEM. */
int kb_anchor_sign(struct kb_anchor *anchor, const struct kb_anchor_key *key);

/* 0 or -ENOMEM, and then the key is as it was. */
int kb_anchor_key_next(struct kb_anchor_key *key);

/* The key file: 0 or a negative errno. A key that was stored is on disk. */
int kb_anchor_key_store(int dir_fd, const struct kb_anchor_key *key);
int kb_anchor_key_load(int dir_fd, struct kb_anchor_key *ret);

/* A random key for anchor 1. */
int kb_anchor_key_make(struct kb_anchor_key *ret);

void kb_anchor_format(const struct kb_anchor *anchor, char ret[KB_ANCHOR_LINE_MAX]);

/* 0 or -EINVAL for what is no anchor of this version. White space around it is skipped. */
int kb_anchor_parse(const char *line, struct kb_anchor *ret);

/* "kb-first-key:1:<log>:<64 hex digits>" */
void kb_first_key_format(const char *log_id, const struct kb_anchor_key *key, char ret[KB_FIRST_KEY_MAX]);
int kb_first_key_parse(const char *line, char ret_log_id[KB_LOG_ID_MAX], struct kb_anchor_key *ret);
