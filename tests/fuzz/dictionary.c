/* SPDX-License-Identifier: Apache-2.0 */
/* Writes the words of the wire as a dictionary of libFuzzer: heads of frames, numbers, sizes at their
 * limits. */
#include <stdio.h>

#include "common/protocol.h"

static void word(const char *name, const char *what, uint32_t number)
{
        printf("%s_%s=\"\\x%02x\\x%02x\\x%02x\\x%02x\"\n", name, what, number & 0xff, number >> 8 & 0xff,
               number >> 16 & 0xff, number >> 24);
}

int main(void)
{
        word("wire", "version", KB_PROTOCOL_VERSION);
        word("wire", "progress", KB_STATUS_PROGRESS);
        word("wire", "frame_max", KB_FRAME_MAX);
#define ERROR(number, name, text, exit_status, prose) word("status", text, number);
#include "common/error.def"
#undef ERROR
#define REQUEST(...)              __VA_ARGS__
#define REPLY(...)                __VA_ARGS__
#define FIELDS(...)               __VA_ARGS__
#define F(kind, name, max, prose) word("max", #name, max);
#define VERB(name, number, callers, prose, request, reply)                                                  \
        word("verb", #name, number);                                                                        \
        request reply
#define RECORD(name, prose, fields) fields
#include "common/protocol.def"
#undef VERB
#undef RECORD
        return 0;
}
