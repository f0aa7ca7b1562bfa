/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A directory as the bytes of a users-1 file: see nss_file.h. The same directory always gives the same
 * bytes. */

#include "directory/document.h"

/* 0, -ENOMEM, or -EFBIG (4 GiB). The caller frees *ret_data. */
int kb_nss_image(const struct kb_directory *directory, uint64_t number, uint8_t **ret_data, size_t *ret_size)
        _must_check_;
