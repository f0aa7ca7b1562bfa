/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Roles: what kind of certificate somebody who may ask for `pki/issue/ROLE` gets. A role names its CA, the
 * names that may be asked for, the uses and the longest life. The judgement is a pure function of the role's
 * attributes and what was asked.
 */

#include "helper/store/local/attribute.h"
#include "helper/store/local/object.h"
#include "helper/store/local/x509.h"

extern const struct kb_attribute kb_role_attributes[];
extern const size_t kb_role_attributes_size;

/* What is asked: the parameters of fetch, called as OpenBao and Vault call them. Owns the lists. */
struct kb_role_request {
        char common_name[256];
        struct kb_list_builder dns, ip, uri;
        uint64_t ttl; /* seconds */
        unsigned uses;
};
void kb_role_request_done(struct kb_role_request *q);
#define _cleanup_role_request_ _cleanup_(kb_role_request_done)

/* Whether certificates of this role would be for anything. KB_E_BAD_REQUEST. */
enum kb_error kb_role_check(const struct kb_object *role, struct kb_problem *problem);

/* Fills *ret when the role permits all of it. KB_E_DENIED names the first thing that it does not. */
enum kb_error kb_role_judge(const struct kb_object *role, struct kb_list parameters,
                            struct kb_role_request *ret, struct kb_problem *problem);
