/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/vault/ssh_certificate.h"

#include <errno.h>
#include <string.h>

#include "helper/grant/base64.h"

#define BLOB_MAX ((size_t)64 * 1024)

/* How many strings the public key takes, between the nonce and the serial number. */
static const struct {
        const char *type;
        unsigned strings;
} types[] = {
        {"ssh-ed25519-cert-v01@openssh.com", 1},
        {"ssh-rsa-cert-v01@openssh.com", 2},
        {"rsa-sha2-256-cert-v01@openssh.com", 2},
        {"rsa-sha2-512-cert-v01@openssh.com", 2},
        {"ecdsa-sha2-nistp256-cert-v01@openssh.com", 2},
        {"ecdsa-sha2-nistp384-cert-v01@openssh.com", 2},
        {"ecdsa-sha2-nistp521-cert-v01@openssh.com", 2},
        {"sk-ssh-ed25519-cert-v01@openssh.com", 2},
        {"sk-ecdsa-sha2-nistp256-cert-v01@openssh.com", 3},
};

/* SSH's own order of bytes (RFC 4251 section 5). Sticky: after the end everything is 0 and empty. */
struct blob {
        struct kb_span left;
        bool failed;
};

static uint64_t take_number(struct blob *b, size_t size)
{
        uint64_t number = 0;

        if (b->failed || b->left.size < size) {
                b->failed = true;
                return 0;
        }
        for (size_t i = 0; i < size; i++)
                number = number << 8 | b->left.data[i];
        b->left.data += size;
        b->left.size -= size;
        return number;
}

static struct kb_span take_string(struct blob *b)
{
        size_t size = take_number(b, 4);
        struct kb_span string = {b->left.data, size};

        if (b->failed || size > b->left.size) {
                b->failed = true;
                return KB_SPAN("", 0);
        }
        b->left.data += size;
        b->left.size -= size;
        return string;
}

/* Skips the public key. */
static void skip_key(struct blob *b, struct kb_span type)
{
        for (size_t i = 0; i < KB_ARRAY_SIZE(types); i++)
                if (type.size == strlen(types[i].type) && memcmp(type.data, types[i].type, type.size) == 0) {
                        for (unsigned n = 0; n < types[i].strings; n++)
                                take_string(b);
                        return;
                }
        b->failed = true;
}

int kb_ssh_certificate_ends(struct kb_span line, uint64_t *ret_ends)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(BLOB_MAX);
        const uint8_t *space = line.size > 0 ? memchr(line.data, ' ', line.size) : NULL;
        size_t type_size = space ? (size_t)(space - line.data) : 0, size = 0;
        struct kb_span type;
        struct blob b = {};
        uint64_t ends;

        if (!space)
                return -EBADMSG;
        while (type_size + 1 + size < line.size && !strchr(" \r\n", space[1 + size]))
                size++;
        if (kb_base64_decode(&w, KB_SPAN(space + 1, size)) < 0 || kb_writer_end(&w) < 0)
                return -EBADMSG;
        b.left = KB_SPAN(w.data, w.size);
        type = take_string(&b);
        if (type.size != type_size || memcmp(type.data, line.data, type_size) != 0)
                return -EBADMSG;
        take_string(&b); /* nonce */
        skip_key(&b, type);
        take_number(&b, 8); /* serial */
        take_number(&b, 4); /* for a person or a host */
        take_string(&b);    /* key id */
        take_string(&b);    /* principals */
        take_number(&b, 8); /* from */
        ends = take_number(&b, 8);
        if (b.failed)
                return -EBADMSG;
        *ret_ends = ends;
        return 0;
}
