/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A crash point has a name. In a build with --enable-crashpoints the process kills itself with SIGKILL when
 * it comes to the point named in the file $KEYBEARER_CRASHPOINT_FILE (one line, "name" or "name:N" for the
 * N-th pass; removed before dying, so that the next process lives). In every other build it is nothing at
 * all.
 *
 * The points of a unit start, in their order: accepted, fetched, recorded, sending, sent, closing.
 */

#ifdef KB_ENABLE_CRASHPOINTS
void kb_crashpoint(const char *name);
#else
#define kb_crashpoint(name) ((void)0)
#endif
