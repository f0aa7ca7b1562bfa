/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The name service on disk, as keybearer-users(5) has it for others: two files for all to read in
 * /var/lib/keybearer/nss/ (0755, root's).
 *
 * `generation` is one little-endian u64 and is never replaced. Readers keep it mapped for as long as they
 * run. `users-1` holds everybody, is never changed, and is replaced by rename(2); the 1 is the version of
 * this format. To publish: rename the new users-1 into place, then raise the number in generation. To read:
 * load the number, *then* open users-1, and keep it until the number is another. So whoever sees the new
 * number sees a file at least as new; and nobody's mapping is ever cut short, since a file that is mapped is
 * only unlinked. (Whoever truncates one of the files in place, as root, kills the readers: SIGBUS. Nothing
 * of ours does.)
 *
 * All integers are little-endian, and every section starts at a multiple of 4.
 *
 *     0   8  "KBUSERS1"
 *     8   8  number: what generation says once this file is in place
 *    16   8  size of the file
 *    24   8  FNV-1a of the file, these eight bytes taken as zero: finds accidents, not attackers
 *    32   4  lowest id    every id in the file is between the two, and neither the reader nor
 *    36   4  highest id   the module hands out another, whatever the rest of the file says
 *    40   8  zero
 *    48  72  nine sections, each u32 offset in the file, u32 number of elements:
 *
 *   USERS        24 bytes each, sorted by name:
 *                   0 u32 uid (= gid)       8 u16 length of name     16 u32 first of his GIDS
 *                   4 u32 offset in TEXT   10 u16 length of GECOS    20 u32 number of his GIDS
 *                                          12 u16 length of home
 *                                          14 u16 length of shell
 *                text: name NUL * NUL gecos NUL home NUL shell NUL
 *   GROUPS       24 bytes each, sorted by name; each user's own group is among them and shares his text:
 *                   0 u32 gid               8 u32 size of text       16 u32 first of its MEMBERS
 *                   4 u32 offset in TEXT   12 u32 length of name     20 u32 number of its MEMBERS
 *                text: name NUL * NUL member NUL member NUL ...
 *   USER_NAMES   hash tables: u32 key, u32 index + 1 (0: empty). The number of slots is a power of two and
 *   USER_IDS     more than the number of elements. The key is kb_nss_hash() of the name, or the id. Look
 *   GROUP_NAMES  from slot kb_nss_mix(key) on, round the end, until the element is found or a slot is
 *   GROUP_IDS    empty.
 *   GIDS         u32: supplementary groups of the users
 *   MEMBERS      u32: where in its group's text a member's name starts
 *   TEXT         bytes
 *
 * A text is what getpwnam_r(3) and getgrnam_r(3) have to put into the caller's buffer, ready to be copied.
 */

#include <stddef.h>
#include <stdint.h>

#include "common/names.h"

#define KB_NSS_FOLDER          KB_STATEDIR "/nss"
#define KB_NSS_USERS_FILE      "users-1"
#define KB_NSS_GENERATION_FILE "generation"
#define KB_NSS_LOCK_FILE       "lock" /* publishers only, 0600: nothing to readers */

#define KB_NSS_RETIRED UINT64_MAX /* the same in either byte order */

#define KB_NSS_MAGIC       "KBUSERS1"
#define KB_NSS_HEADER_SIZE 120

enum kb_nss_header {
        KB_NSS_AT_NUMBER = 8,
        KB_NSS_AT_SIZE = 16,
        KB_NSS_AT_CHECKSUM = 24,
        KB_NSS_AT_ID_MIN = 32,
        KB_NSS_AT_ID_MAX = 36,
        KB_NSS_AT_SECTIONS = 48,
};

enum kb_nss_section {
        KB_NSS_USERS,
        KB_NSS_GROUPS,
        KB_NSS_USER_NAMES,
        KB_NSS_USER_IDS,
        KB_NSS_GROUP_NAMES,
        KB_NSS_GROUP_IDS,
        KB_NSS_GIDS,
        KB_NSS_MEMBERS,
        KB_NSS_TEXT,
        KB_NSS_SECTIONS,
};

/* Bytes of one element of each section. */
static const uint32_t kb_nss_element_size[KB_NSS_SECTIONS] = {24, 24, 8, 8, 8, 8, 4, 4, 1};

static inline uint32_t kb_nss_mix(uint32_t x)
{
        x = (x ^ (x >> 16)) * 0x85ebca6bu;
        x = (x ^ (x >> 13)) * 0xc2b2ae35u;
        return x ^ (x >> 16);
}

/* FNV-1a, 32 bits. */
static inline uint32_t kb_nss_hash(const char *name, size_t size)
{
        uint32_t h = 2166136261u;

        for (size_t i = 0; i < size; i++)
                h = (h ^ (uint8_t)name[i]) * 16777619u;
        return h;
}

/* FNV-1a, 64 bits, with the checksum's own place taken as zero. */
static inline uint64_t kb_nss_checksum(const uint8_t *data, size_t size)
{
        uint64_t h = 14695981039346656037u;

        for (size_t i = 0; i < size; i++) {
                uint8_t byte = i - KB_NSS_AT_CHECKSUM < 8 ? 0 : data[i];

                h = (h ^ byte) * 1099511628211u;
        }
        return h;
}
