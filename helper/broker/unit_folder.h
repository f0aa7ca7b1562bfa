/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * /run/keybearer/units/UNIT/current: where a running service finds credentials that rotate. It is there from
 * the first start on, belongs to the user the unit runs as, and is replaced as a whole, so that a user name
 * and a password in it always belong together.
 */

#include "helper/broker/grants.h"

/* What was made, and of whom. */
struct kb_unit_folder_made {
        uid_t uid; /* whom it belongs to */
        gid_t gid;
        bool notifies_reload;      /* Type=notify-reload: a reload that is through means adopted */
        unsigned long long before; /* the number of the folder that was current until now, 0: none */
};

/* r: 0; -ESTALE: nobody is left to read it, nothing was written; another negative errno. made is NULL then.
 */
typedef void (*kb_unit_folder_done)(int r, const struct kb_unit_folder_made *made, void *userdata);

/*
 * Whether this grant's values belong into its unit's folder: its lease has an end, and it is replaced
 * before; or it has none, and the unit is told of new versions.
 */
bool kb_unit_folder_wanted(const struct kb_held *held);

/*
 * Writes what all such grants of this unit's invocation show, and makes it current. Asynchronous: PID 1 is
 * asked first who the unit runs as. What is offered in it stays beside what was before.
 */
void kb_unit_folder_publish(struct kb_broker *broker, const char *unit, const char *invocation,
                            kb_unit_folder_done done, void *userdata);

/*
 * The unit could not be told of what this grant offers: writes the folder anew, without it. What other
 * grants offer meanwhile stays. 0, or a negative errno: then the unit still finds what was offered.
 */
int kb_unit_folder_take_back(struct kb_held *held, const struct kb_unit_folder_made *made) _must_check_;

/* The unit uses what is current: what was before goes, but for what other grants still offer. */
void kb_unit_folder_settle(struct kb_broker *broker, const char *unit);

/* A unit, or one of its grants, has ended: when no grant is left that has values in its folder, nor does it.
 */
void kb_unit_folder_check(struct kb_broker *broker, const char *unit);

/* After our start: removes what belongs to units that hold nothing any more. */
void kb_unit_folder_clean(struct kb_broker *broker);
