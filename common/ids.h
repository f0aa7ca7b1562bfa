/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Which ids can be ours. One range serves uids and gids (IdRange=). Some ids belong to others wherever Linux
 * runs, so no setting and no store can make them ours: systemd's UIDS-GIDS.md, Debian policy 9.2.2.
 *
 * The ids of containers (524288-1879048191) are not among them, since fleets with a directory from before
 * may have people there; the defaults keep away from it.
 */

#include <stdbool.h>
#include <stdint.h>

#define KB_ID_MIN_DEFAULT 65536
#define KB_ID_MAX_DEFAULT 99999

struct kb_id_range {
        uint32_t min, max; /* both inside */
};

/* min <= max, and not one id in it is reserved. */
bool kb_id_range_valid(struct kb_id_range range);

bool kb_id_in_range(struct kb_id_range range, uint32_t id);
