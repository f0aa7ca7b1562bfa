/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/config/config.h"

#include <errno.h>

#include "helper/config/units.h"

static const struct kb_config_key keys[] = {
#define KEY(...) KB_CONFIG_ROW(struct kb_config, __VA_ARGS__),
#include "helper/config/broker.def"
#undef KEY
};

const struct kb_config_table kb_config_table = {.what = "keybearer.conf",
                                                .page = "keybearer.conf",
                                                .optional = true,
                                                .keys = keys,
                                                .n_keys = KB_ARRAY_SIZE(keys)};

int kb_config_new(const char *path, const struct kb_config_trust *trust, struct kb_problems *problems,
                  struct kb_config **ret)
{
        _cleanup_(kb_config_freep) struct kb_config *config = calloc(1, sizeof(*config));
        int r;

        if (!config)
                return -ENOMEM;
        r = kb_config_load(&kb_config_table, path, trust, problems, config);
        if (r < 0)
                return r;
        *ret = take_ptr(config);
        return 0;
}

void kb_config_free(struct kb_config *config)
{
        if (!config)
                return;
        kb_config_done(&kb_config_table, config);
        free(config);
}
