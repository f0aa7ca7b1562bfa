/* SPDX-License-Identifier: Apache-2.0 */
/* Where the module that the tests load has its names: in $KEYBEARER_TEST_DIR. The one that is installed has
 * nss_module/names.c instead. */
#include <stdio.h>
#include <stdlib.h>

#include "nss_module/module.h"

struct kb_nss *kb_module_nss(void)
{
        static char folder[256];
        static struct kb_nss nss = KB_NSS_INIT(folder);

        if (!folder[0])
                snprintf(folder, sizeof(folder), "%s", getenv("KEYBEARER_TEST_DIR"));
        return &nss;
}
