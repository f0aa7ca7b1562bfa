/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Which unit may have a credential: what `unit add --allow` writes beside the credential's file, one file
 * per unit, so that taking one away touches no other.
 */

#include "cli/cli.h"

/* "orders@.service": a unit of many instances, none of which is named. */
bool cli_unit_is_template(const char *unit);

/*
 * An instance that stands for all of a template: a glob that takes this one takes any. Else the unit itself.
 * A new string.
 */
char *cli_unit_example(const char *unit);

/* Whether it may have it already; of a template, whether every instance may. */
bool cli_allows(const struct kb_credential *c, const char *unit);

/* Lets it have it. 1 when a file was written, minus an exit status. */
int cli_allow(const struct cli *cli, const char *credential, const char *unit);

/* Takes that file away. 1 when there was one. Without one nothing changes. */
int cli_disallow(const struct cli *cli, const char *credential, const char *unit);
