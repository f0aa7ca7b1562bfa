/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Where a server is, as an administrator writes it or a server names another one:
 *
 *   https://bao-1.example:8200   a name, an IPv4 address or an IPv6 one in brackets; 8200 without a port
 *   http://127.0.0.1:8200        not encrypted: this host only (127.0.0.0/8, [::1], localhost)
 *   unix:/run/openbao/api.sock   not encrypted, and nobody else can be there
 *
 * Nothing else: no user, no path, no query. The two that are not encrypted need the caller's permission.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/macro.h"
#include "helper/store/problem.h"

#define KB_ADDRESS_HOST_MAX 253

enum kb_scheme { KB_SCHEME_HTTPS, KB_SCHEME_HTTP, KB_SCHEME_UNIX };

struct kb_address {
        enum kb_scheme scheme;
        uint16_t port;                      /* 0 with unix */
        char host[KB_ADDRESS_HOST_MAX + 3]; /* lower case, IPv6 in its brackets; unix: the socket's path */
};

/* plain: whether http and unix are allowed. KB_E_OK, or KB_E_BAD_REQUEST and a sentence in problem. */
enum kb_error kb_address_parse(const char *text, bool plain, struct kb_address *ret,
                               struct kb_problem *problem) _must_check_;

/* "https://bao-1.example:8200" for messages and for curl: without a slash at the end; "http://localhost"
 * for unix. */
void kb_address_url(const struct kb_address *address, char *ret, size_t size);

/* As the administrator wrote it: for messages. */
void kb_address_text(const struct kb_address *address, char *ret, size_t size);

/*
 * Which of `n` addresses a Location header means, or -1: the same scheme, host and port, letter for letter.
 * Its path and query are not looked at. Never resolved and never followed: it is a hint to one of ours or
 * nothing.
 */
int kb_address_find(const struct kb_address *addresses, size_t n, const char *location);
