/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "common/secret.h"

/* CRC-32C (Castagnoli, RFC 3720 B.4): of "123456789" it is 0xe3069283. Finds accidents, not attackers. */
uint32_t kb_crc32c(struct kb_span bytes);
