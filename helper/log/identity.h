/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What stays the same for the life of a log: its random id, and the key under which ids of leases and tokens
 * leave it. A fingerprint is the same for the same id on this host, so that events can be joined, and of no
 * use to the store: HMAC-SHA256, cut to 128 bits.
 */

#include <stdbool.h>
#include <stdint.h>

#define KB_LOG_ID_MAX      33 /* 32 hex digits and a NUL */
#define KB_FINGERPRINT_MAX 33

struct kb_log_identity {
        char id[KB_LOG_ID_MAX];
        uint8_t key[32];
};

/* A random one, in memory: 0 or a negative errno. */
int kb_log_identity_make(struct kb_log_identity *ret);

/* The file: 0; -ENOENT when there is no log; -EBADMSG; another negative errno. */
int kb_log_identity_store(int dir_fd, const struct kb_log_identity *identity);
int kb_log_identity_load(int dir_fd, struct kb_log_identity *ret);

/* 32 hex digits; "" for "" or NULL, and when libcrypto has no memory left. */
void kb_fingerprint_text(const struct kb_log_identity *identity, const char *secret_id,
                         char ret[KB_FINGERPRINT_MAX]);
