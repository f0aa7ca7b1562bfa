/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Encrypted credentials as systemd reads them with LoadCredentialEncrypted=, locked to this host's key. The
 * name and the time after which it is void are authenticated with the secret, so that an answer that is
 * empty, cut, doubled, stale or meant for another name fails inside systemd, whatever became of us
 * (systemd.exec(5)).
 *
 * The same form protects what we keep on disk for a store: see kb_sdcred_decrypt().
 *
 * Layout, before base64; integers are little-endian:
 *
 *   id[16]  u32 key size  u32 block size  u32 IV size  u32 tag size  IV  zeros to a multiple of 8
 * authenticated u64 made  u64 not after (all ones: never)  u32 name size  name  zeros to a multiple of 8
 * secret  AES-256-GCM tag[16]
 *
 * The key is SHA-256 of the host's secret. systemd 250 to 262 read and write it; it is told in a comment of
 * its src/shared/creds-util.c.
 */

#include <stdint.h>

#include "common/clock.h"
#include "common/wire.h"

#define KB_SDCRED_HOST_SECRET "/var/lib/systemd/credential.secret"

/* systemd takes no more than this of one secret; the names of all credentials of the unit count too. */
#define KB_SDCRED_PLAIN_MAX ((size_t)1024 * 1024)

/* A writer for kb_sdcred_encrypt() with this maximum holds any answer. */
#define KB_SDCRED_ENCODED_MAX ((size_t)1536 * 1024)

struct kb_host_key {
        uint8_t key[32];
};

/*
 * Reads the host's secret. It must be a regular file of root with no access for group and others, not a
 * link, and begin with this machine's id: systemd replaces one that was copied from another machine, and
 * what we encrypted to it could not be read. Call `systemd-creds setup` when there is none.
 *
 * 0; -ENOENT: there is none; -ELOOP: a link; -EPERM: wrong owner, mode or kind of file; -EREMOTE: another
 * machine's; -EBADMSG: too short or too long to be one; or what open(2) and read(2) say.
 */
int kb_sdcred_host_key_load(const char *path, const uint8_t machine_id[16], struct kb_host_key *ret)
        _must_check_;

void kb_host_key_done(struct kb_host_key *key); /* wipes */
#define _cleanup_host_key_ _cleanup_(kb_host_key_done)

/*
 * Appends the base64 text of one credential to `out`. name is what stands before the colon of
 * LoadCredentialEncrypted=; times are CLOCK_REALTIME, not_after may be KB_TIME_NEVER.
 *
 * 0; -EINVAL: no name, or not_after lies before now; -EMSGSIZE: plain is longer than KB_SDCRED_PLAIN_MAX, or
 * out is full; -ENOMEM; -EIO: libcrypto failed, which includes a lack of random bytes.
 */
int kb_sdcred_encrypt(const struct kb_host_key *key, const char *name, uint64_t now, uint64_t not_after,
                      struct kb_span plain, struct kb_writer *out) _must_check_;

/*
 * The way back; line breaks in the text are skipped, as systemd-creds writes them. Appends the secret to
 * `out`, and only after everything about it was found true.
 *
 * 0; -EBADMSG: not such a credential, altered, or of another host; -EKEYREJECTED: genuine, but of another
 * name; -EKEYEXPIRED: genuine, but void by now; -EMSGSIZE; -ENOMEM; -EIO.
 */
int kb_sdcred_decrypt(const struct kb_host_key *key, const char *name, uint64_t now, struct kb_span text,
                      struct kb_writer *out) _must_check_;
