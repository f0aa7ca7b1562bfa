/* SPDX-License-Identifier: Apache-2.0 */
#include "nss_module/module.h"

struct kb_nss *kb_module_nss(void)
{
        static struct kb_nss nss = KB_NSS_INIT(KB_NSS_FOLDER);

        return &nss;
}
