/* SPDX-License-Identifier: Apache-2.0 */
#include "nss_module/module.h"

#include <errno.h>

/* Programs take ENOENT, ESRCH, EBADF and EPERM of getpwnam_r() for "nobody", so UNAVAIL says EIO. */
enum nss_status kb_module_status(int r, int *errnop)
{
        switch (r) {
        case 1:
                return NSS_STATUS_SUCCESS;
        case 0:
                *errnop = ENOENT;
                return NSS_STATUS_NOTFOUND;
        case -ERANGE:
                *errnop = ERANGE;
                return NSS_STATUS_TRYAGAIN;
        case -EAGAIN:
        case -EMFILE:
        case -ENFILE:
        case -ENOMEM:
                *errnop = EAGAIN;
                return NSS_STATUS_TRYAGAIN;
        default:
                *errnop = EIO;
                return NSS_STATUS_UNAVAIL;
        }
}
