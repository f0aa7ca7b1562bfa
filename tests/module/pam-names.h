/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* People for a test: published with the code that the broker uses, with ids from 65536 on. */

/* Makes folder and publishes these names (NULL-terminated, sorted) there. 0 or a negative errno. */
int names_publish(const char *folder, const char *const names[]);
