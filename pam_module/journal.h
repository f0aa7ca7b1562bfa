/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Text from outside on its way into a log line: names, hosts and what a broker says are chosen by others,
 * and must not be able to end our line, start one of their own, or steer a terminal.
 */

#define KB_JOURNAL_TEXT 256

/*
 * text as printable ASCII: anything else, quotes and backslashes become \xNN; cut with "..." where the
 * buffer ends. text may be NULL. Returns buffer.
 */
const char *kb_journal_escape(const char *text, char buffer[static KB_JOURNAL_TEXT]);
