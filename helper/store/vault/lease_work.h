/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Inside the engines only: what happens to leases after they were made. */

#include "helper/store/vault/fetch.h"

/* How long it is tried to take back what nobody holds. */
#define KB_TAKE_BACK_USEC (60 * KB_USEC_PER_SEC)

void kb_lease_works_free(struct kb_engines *e);
