/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * When does an invocation of a unit end? systemd keeps one symlink per active unit in /run/systemd/units,
 * "invocation:UNIT" -> id, and removes it when the unit becomes inactive or failed. We watch that folder
 * with inotify: no D-Bus, and a look at the folder after our own start finds what ended meanwhile.
 */

#include <systemd/sd-event.h>

#include "common/cleanup.h"

struct kb_units;

/* A unit's symlink went away or now shows another invocation: id is the new one, "" for none. */
typedef void (*kb_units_changed)(const char *unit, const char *invocation, void *userdata);

/* The same, after events were lost (the queue overflowed, or the folder was replaced): look at every unit
 * you care about again. */
typedef void (*kb_units_rescan)(void *userdata);

/* dir: KB_UNITS_RUNTIME_DIR, or a test's own. 0, -ENOENT when this is no systemd host, or another errno. */
int kb_units_new(struct kb_units **ret, sd_event *event, const char *dir, kb_units_changed changed,
                 kb_units_rescan rescan, void *userdata);
void kb_units_free(struct kb_units *u);
KB_DEFINE_CLEANUP(struct kb_units, kb_units_free);

/* The invocation of a unit that runs or starts now. 0, -ENOENT when it does neither, -EBADMSG. */
#define KB_UNITS_RUNTIME_DIR "/run/systemd/units"
int kb_unit_invocation(const char *dir, const char *unit, char ret[static 33]);
