/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Secrets that a person gives: typed at the terminal without echo, a line of stdin, or the bytes of a file.
 * Never argv, which every process can read, and never the environment.
 */

#include "cli/cli.h"
#include "common/wire.h"

#define CLI_LINE_MAX 4096
#define CLI_FILE_MAX (256 * 1024)

/*
 * A secret in memory that is wiped (kb_secret_free()), NUL-terminated. With a terminal the prompt is shown,
 * and with `twice` asked again; else it is the next line of stdin. 0, or an exit status after it was said
 * what is wrong.
 */
int cli_read_secret(const struct cli *cli, const char *prompt, bool twice, char **ret);

/* All bytes of a file; "-" is stdin. */
int cli_read_file(const struct cli *cli, const char *path, uint8_t **ret, size_t *ret_size);
