/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The unit that a process is in, as the kernel tells it in /proc/PID/cgroup: what sd_pid_get_unit() answers,
 * which needs thirty system calls for it and is more than half of what a request would cost.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "common/names.h"
#include "common/wire.h"

/*
 * The system unit of a process; "" when it is in none. Where cgroups are not v2 throughout, or PID 1 is not
 * where systemd puts itself, libsystemd is asked. 0, or a negative errno when nobody can tell.
 */
int kb_cgroup_unit(pid_t pid, char ret[static KB_UNIT_NAME_MAX + 1]) _must_check_;

/* Whether it is where PID 1 is itself, in no unit. False, too, when nobody can tell. */
bool kb_cgroup_is_of_init(pid_t pid);

/*
 * The same from the file's text: behind slices, the first folder has the unit's name, with an underscore
 * before it where it would look like one of the kernel's own files. 0, and "" for none; -ENODATA when there
 * is no line of cgroup v2.
 */
int kb_cgroup_parse(struct kb_span text, char ret[static KB_UNIT_NAME_MAX + 1]) _must_check_;
