/* SPDX-License-Identifier: Apache-2.0 */
#include "common/ids.h"

#include "common/macro.h"

static const struct kb_id_range reserved[] = {
        {0, 999},                /* root and the system's own */
        {60001, 60577},          /* systemd-homed and what it maps */
        {61184, 65519},          /* DynamicUser= */
        {65534, 65535},          /* nobody, and 16-bit -1 */
        {INT32_MAX, UINT32_MAX}, /* negative for programs that store ids in an int, and 32-bit -1 */
};

bool kb_id_range_valid(struct kb_id_range range)
{
        if (range.min > range.max)
                return false;
        for (size_t i = 0; i < KB_ARRAY_SIZE(reserved); i++)
                if (range.min <= reserved[i].max && range.max >= reserved[i].min)
                        return false;
        return true;
}

bool kb_id_in_range(struct kb_id_range range, uint32_t id)
{
        return id >= range.min && id <= range.max;
}
