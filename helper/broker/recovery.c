/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/broker/recovery.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/sha.h>
#include <string.h>
#include <sys/random.h>

#define FORMAT     2 /* 1 did not count uses */
#define CHARACTERS 25
#define GROUP      5

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"; /* Crockford's base32 */

static void hash(const char characters[static CHARACTERS], uint8_t ret[static 32])
{
        char text[sizeof("keybearer recovery ") - 1 + CHARACTERS] = "keybearer recovery ";

        memcpy(text + sizeof(text) - CHARACTERS, characters, CHARACTERS);
        SHA256((const uint8_t *)text, sizeof(text), ret);
        kb_wipe(text, sizeof(text));
}

static void format(const char characters[static CHARACTERS], char ret[static KB_RECOVERY_CODE_SIZE])
{
        size_t n = 0;

        for (size_t i = 0; i < CHARACTERS; i++) {
                if (i > 0 && i % GROUP == 0)
                        ret[n++] = '-';
                ret[n++] = characters[i];
        }
        ret[n] = '\0';
}

int kb_recovery_make(struct kb_recovery *recovery, unsigned n, char ret_codes[][KB_RECOVERY_CODE_SIZE])
{
        struct kb_recovery fresh = {.n = n};
        uint8_t random[KB_RECOVERY_MAX][CHARACTERS];

        if (n < 1 || n > KB_RECOVERY_MAX)
                return -EINVAL;
        if (getrandom(random, sizeof(random), 0) != sizeof(random))
                return -EIO;
        for (unsigned i = 0; i < n; i++) {
                char characters[CHARACTERS];

                for (size_t k = 0; k < CHARACTERS; k++)
                        characters[k] = alphabet[random[i][k] % 32];
                hash(characters, fresh.hashes[i]);
                format(characters, ret_codes[i]);
                kb_wipe(characters, sizeof(characters));
        }
        kb_wipe(random, sizeof(random));
        *recovery = fresh;
        return 0;
}

/* The character of the alphabet that is meant, 0 when none is. */
static char meant(uint8_t typed)
{
        char c = (char)toupper(typed);

        if (c == 'O')
                c = '0';
        else if (c == 'I' || c == 'L')
                c = '1';
        return c != '\0' && strchr(alphabet, c) ? c : '\0';
}

static bool read_code(struct kb_span typed, char ret[static CHARACTERS])
{
        size_t n = 0;

        for (size_t i = 0; i < typed.size; i++) {
                if (typed.data[i] == '-' || typed.data[i] == ' ')
                        continue;
                if (n == CHARACTERS || !meant(typed.data[i]))
                        return false;
                ret[n++] = meant(typed.data[i]);
        }
        return n == CHARACTERS;
}

bool kb_recovery_is_code(struct kb_span typed)
{
        char characters[CHARACTERS];
        bool is = read_code(typed, characters);

        kb_wipe(characters, sizeof(characters));
        return is;
}

bool kb_recovery_use(struct kb_recovery *recovery, struct kb_span typed)
{
        char characters[CHARACTERS];
        uint8_t wanted[32];
        unsigned found = KB_RECOVERY_MAX;

        if (!read_code(typed, characters))
                return false;
        hash(characters, wanted);
        kb_wipe(characters, sizeof(characters));
        for (unsigned i = 0; i < recovery->n; i++)
                if (kb_secret_equal(KB_SPAN(wanted, 32), KB_SPAN(recovery->hashes[i], 32)))
                        found = i;
        if (found == KB_RECOVERY_MAX)
                return false;
        recovery->used++;
        recovery->n--;
        memmove(recovery->hashes[found], recovery->hashes[recovery->n], 32);
        kb_wipe(recovery->hashes[recovery->n], 32);
        return true;
}

void kb_recovery_put(const struct kb_recovery *recovery, struct kb_writer *w)
{
        kb_write_u32(w, FORMAT);
        kb_write_u32(w, recovery->used);
        kb_write_u32(w, recovery->n);
        for (unsigned i = 0; i < recovery->n; i++)
                kb_write_bytes(w, KB_SPAN(recovery->hashes[i], 32), 32);
}

int kb_recovery_get(struct kb_span from, struct kb_recovery *ret)
{
        struct kb_reader r = kb_reader_init(from);
        struct kb_recovery read = {0};
        uint32_t format_number = kb_read_u32(&r);

        read.used = format_number == 1 ? 0 : kb_read_u32(&r);
        read.n = kb_read_u32(&r);
        if (format_number < 1 || format_number > FORMAT || read.n > KB_RECOVERY_MAX)
                return -EBADMSG;
        for (unsigned i = 0; i < read.n; i++) {
                struct kb_span bytes = kb_read_bytes(&r, 32);

                if (bytes.size != 32)
                        return -EBADMSG;
                memcpy(read.hashes[i], bytes.data, 32);
        }
        if (kb_reader_end(&r) < 0)
                return -EBADMSG;
        *ret = read;
        return 0;
}
