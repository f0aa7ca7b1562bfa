/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A backup as a stream of bytes, as keybearer-backup(5) has it for others. It needs nothing but itself and
 * one of the slots' secrets to be read again:
 *
 *   "KBSTORE1", u32 size of the header, the header (kb_backup_header, in wire encoding)
 *   then pieces: u32 size, AES-256-GCM ciphertext of up to 64 KiB of the database, tag
 *
 * The key is derived from the root key with the header's salt, so it is used for one backup alone; the nonce
 * is the number of the piece, with the top bit set on the last one; the associated data is SHA-256 of
 * everything before the first piece. So pieces cannot be changed, swapped, doubled or left out, and a cut
 * stream has no last piece.
 */

#include "helper/store/local/crypto.h"

#define KB_BACKUP_PIECE      65536
#define KB_BACKUP_HEADER_MAX 65536
#define KB_BACKUP_SLOTS_MAX  64

/* A slot as the header has it: enough to open the root key without the database. */
struct kb_backup_slot {
        const char *name, *kind;
        struct kb_span parameters, box, mac;
};

struct kb_backup_header {
        const char *id; /* of the store */
        uint64_t created;
        uint64_t changes;
        uint64_t generation;  /* of the root key */
        uint64_t size;        /* bytes of the database */
        struct kb_span salt;  /* 16 bytes */
        struct kb_list slots; /* kb_backup_slot each, in wire encoding */
};

/* Slots go into a list element and come back. -EBADMSG. */
void kb_backup_slot_add(struct kb_list_builder *b, const struct kb_backup_slot *slot);
int kb_backup_slot_get(struct kb_span element, struct kb_backup_slot *ret) _must_check_;

/* The bytes before the first piece. */
int kb_backup_header_put(struct kb_writer *w, const struct kb_backup_header *header) _must_check_;

/*
 * Takes them apart: the number of bytes they take, 0 when more bytes are needed to tell, -EBADMSG for
 * something else than a backup. What is returned points into `from`.
 */
ssize_t kb_backup_header_get(struct kb_span from, struct kb_backup_header *ret);

/* Sealing and opening pieces, in their order. */
struct kb_backup_stream {
        uint8_t key[KB_KEY_SIZE];
        uint8_t head[32]; /* SHA-256 of what stands before the first piece */
        uint64_t piece;
        bool ended; /* the last one was seen */
};
int kb_backup_stream_init(struct kb_backup_stream *s, const uint8_t root[KB_KEY_SIZE], struct kb_span salt,
                          struct kb_span head) _must_check_;
void kb_backup_stream_done(struct kb_backup_stream *s); /* wipes */

/* Appends a piece with its size. */
int kb_backup_stream_seal(struct kb_backup_stream *s, struct kb_span plain, bool last, struct kb_writer *to)
        _must_check_;

/*
 * Opens the piece at the beginning of `from`: the bytes it takes, 0 when it is not whole, -EBADMSG when it
 * is not the piece that comes next. s->ended tells that it was the last one.
 */
ssize_t kb_backup_stream_open(struct kb_backup_stream *s, struct kb_span from, struct kb_writer *to);
