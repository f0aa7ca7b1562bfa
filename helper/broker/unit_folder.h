/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * /run/keybearer/units/UNIT/current: where a running service finds credentials that rotate. It is there from
 * the first start on, belongs to the user the unit runs as, and is replaced as a whole, so that a user name
 * and a password in it always belong together.
 */

#include "helper/broker/grants.h"

/* r: 0, or a negative errno. tells: the unit is Type=notify-reload, so a reload that is through means
 * adopted. */
typedef void (*kb_unit_folder_done)(int r, bool tells, void *userdata);

/* Whether this grant's values belong into its unit's folder: its lease has an end, and it is replaced
 * before. */
bool kb_unit_folder_wanted(const struct kb_held *held);

/*
 * Writes the newest values of all such grants of this unit's invocation, and makes them current.
 * Asynchronous: PID 1 is asked first who the unit runs as.
 */
void kb_unit_folder_publish(struct kb_broker *broker, const char *unit, const char *invocation,
                            kb_unit_folder_done done, void *userdata);

/* The unit has ended: nothing of it stays. */
void kb_unit_folder_remove(struct kb_broker *broker, const char *unit);

/* The unit could not be told of what is current: what was before is current again. */
void kb_unit_folder_revert(struct kb_broker *broker, const char *unit);

/* The unit uses what is current: what was before goes. */
void kb_unit_folder_settle(struct kb_broker *broker, const char *unit);

/* After our start: removes what belongs to units that hold nothing any more. */
void kb_unit_folder_clean(struct kb_broker *broker);
