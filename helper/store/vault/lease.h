/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The names of leases: engines.h says what they look like. Plain text work, without a server. */

#include <stdbool.h>
#include <stdint.h>

#include "common/macro.h"

#define KB_LEASE_NAME_MAX 512 /* of the wire: common/protocol.def */

enum kb_lease_kind {
        KB_LEASE_NAME_BAD,
        KB_LEASE_NAME_SERVER,
        KB_LEASE_NAME_CERTIFICATE,
        KB_LEASE_NAME_RECORD,  /* ends by itself */
        KB_LEASE_NAME_VERSION, /* has no end */
};

/* A name taken apart. */
struct kb_lease_name {
        enum kb_lease_kind kind;
        char front[KB_LEASE_NAME_MAX + 1]; /* id of the server's lease, or mount, or path */
        char back[KB_LEASE_NAME_MAX + 1];  /* serial number, or text, or version */
        uint64_t generation;               /* of a server's lease */
};

/*
 * Each 0; -EINVAL when a part has a byte that no such name has: not letters, digits, or one of _-.@:/+=,~;
 * -ENAMETOOLONG.
 */
int kb_lease_name_server(const char *id, uint64_t generation, char ret[KB_LEASE_NAME_MAX + 1]) _must_check_;
int kb_lease_name_certificate(const char *mount, const char *serial, char ret[KB_LEASE_NAME_MAX + 1])
        _must_check_;
int kb_lease_name_record(const char *path, const char *text, char ret[KB_LEASE_NAME_MAX + 1]) _must_check_;
int kb_lease_name_version(const char *path, const char *version, char ret[KB_LEASE_NAME_MAX + 1])
        _must_check_;

/* kind KB_LEASE_NAME_BAD: it is no name of ours. */
void kb_lease_name_parse(const char *name, struct kb_lease_name *ret);
