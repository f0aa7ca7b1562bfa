/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The verb `directory`: the document of the newest version, made when it is asked for. With thousands of
 * people that takes a while, so it is made in steps, between which everybody else is served; who asks
 * meanwhile waits for it.
 */

struct kb_making;

/* Answers those who wait: the program ends. making may be NULL. */
void kb_making_free(struct kb_making *making);
