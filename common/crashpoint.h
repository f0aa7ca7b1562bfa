/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A crash point has a name. In a build with --enable-crashpoints the process kills itself with SIGKILL when
 * it comes to the point named in the file $KEYBEARER_CRASHPOINT_FILE (one line, "name" or "name:N" for the
 * N-th pass; removed before dying, so that the next process lives). In every other build it is nothing at
 * all. The names stand in docs/HACKING.md.
 */

#ifdef KB_ENABLE_CRASHPOINTS
void kb_crashpoint(const char *name);

/* The same for one of several that come this way: "what-name". */
void kb_crashpoint_of(const char *what, const char *name);
#else
#define kb_crashpoint(name)          ((void)0)
#define kb_crashpoint_of(what, name) ((void)0)
#endif
