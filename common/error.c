/* SPDX-License-Identifier: Apache-2.0 */
#include "common/error.h"

#include <errno.h>

#include "common/macro.h"

static const struct {
        const char *word;
        const char *text;
        int exit_status;
} table[] = {
#define ERROR(number, name, word, exit_status, text) [number] = {word, text, exit_status},
#include "common/error.def"
#undef ERROR
};

const char *kb_error_word(enum kb_error error)
{
        return (unsigned)error < KB_ARRAY_SIZE(table) ? table[error].word : "unknown";
}

const char *kb_error_text(enum kb_error error)
{
        return (unsigned)error < KB_ARRAY_SIZE(table) ? table[error].text : "an unknown error";
}

int kb_error_exit_status(enum kb_error error)
{
        return (unsigned)error < KB_ARRAY_SIZE(table) ? table[error].exit_status : 1;
}

enum kb_error kb_error_from_errno(int r)
{
        switch (-r) {
        case 0:
                return KB_E_OK;
        case ETIMEDOUT:
        case ECONNREFUSED:
        case ECONNRESET:
        case ENOENT:
        case ENOTCONN:
        case EPIPE:
                return KB_E_UNREACHABLE;
        case EAGAIN:
        case EBUSY:
        case EMFILE:
        case ENFILE:
        case ENOMEM:
                return KB_E_BUSY;
        case EIO:
        case ENOSPC:
        case EROFS:
                return KB_E_STORAGE;
        case EACCES:
        case EPERM:
                return KB_E_DENIED;
        case EBADMSG:
        case EPROTO:
        case EINVAL:
        case E2BIG:
        case EMSGSIZE:
                return KB_E_BAD_REQUEST;
        default:
                return KB_E_INTERNAL;
        }
}
