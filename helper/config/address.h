/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Where a server of a store listens, as files of settings write it:
 *
 *   https://HOST[:PORT]        TLS; HOST is a name, an IPv4 address, or an IPv6 address in brackets
 *   http://127.0.0.1[:PORT]    without TLS: only 127.0.0.0/8 and [::1], which never leave this host
 *   unix:/PATH                 a socket of this host, without TLS
 *
 * and nothing behind that: no path, no user, no query. Without a port it is 8200. "localhost" is a name like
 * any other: who answers to it is for the resolver to say, so there is no plain http to it.
 */

#include <stdbool.h>

#define KB_ADDRESS_MAX 190 /* bytes; with Address= in front it fits a line */

/* NULL when it is one; else what is wrong with it, and behind a semicolon the cure. */
const char *kb_address_judge(const char *text);

/* Of one that was judged good: whether it is spoken to without TLS. */
bool kb_address_is_plain(const char *text);

/* A name of a host as DNS has it, RFC 1123, or an IP address without brackets. */
bool kb_host_valid(const char *text);
