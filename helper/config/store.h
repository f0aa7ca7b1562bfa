/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * stores/NAME.conf: a store is named as its file is. What the file says is for that store's own program; who
 * uses stores needs no more than their names.
 */

#include "helper/config/file.h"

#define KB_STORES_FOLDER KB_SYSCONFDIR "/stores"

/* It needs no file, and its name is nobody else's. */
#define KB_STORE_LOCAL "local"

/*
 * Names of the stores that have a file, sorted, as a NULL-terminated list. Files whose name is none are
 * problems, and left out. 0, also after problems were added; -EBADMSG when the folder itself cannot be used;
 * -ENOMEM.
 */
int kb_store_names(const char *folder, const struct kb_config_trust *trust, struct kb_problems *problems,
                   char ***ret_names) _must_check_;
