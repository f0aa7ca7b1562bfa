/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/problem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What the storage below can come to, and what helps. Anything else is a defect of ours. */
static const struct {
        int number;
        enum kb_error error;
        const char *text;
} table[] = {
        {ENOSPC, KB_E_STORAGE, "the disk is full: nothing was changed; make room"},
        {EDQUOT, KB_E_STORAGE, "the disk quota is used up: nothing was changed; make room"},
        {EROFS, KB_E_STORAGE, "the disk is read-only: nothing was changed; mount it writable"},
        {EIO, KB_E_STORAGE, "the disk reports errors: nothing was changed; look at the kernel's journal"},
        {EUCLEAN, KB_E_STORAGE, "the database is damaged: stop the store and restore a backup"},
        {EBADMSG, KB_E_STORAGE,
         "a record does not match its key: it is damaged, or was put there by somebody else"},
        {ENOKEY, KB_E_STORAGE, "a record needs a root key that this store does not have"},
        {EBUSY, KB_E_STORAGE, "another process has the database open"},
        {EACCES, KB_E_STORAGE, "the state folder may not be used: check its owner and mode"},
        {ENOENT, KB_E_NOT_FOUND, "there is nothing of that kind"},
        {ECANCELED, KB_E_BUSY, "nobody waited for it"},
        {ENOMEM, KB_E_BUSY, "memory is out: try again"},
        {EAGAIN, KB_E_BUSY, "too much to do: try again"},
        {EMSGSIZE, KB_E_BAD_REQUEST, "too large"},
};

enum kb_error kb_problem(struct kb_problem *p, enum kb_error error, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        vsnprintf(p->text, sizeof(p->text), format, args);
        va_end(args);
        p->error = error;
        return error;
}

void kb_problem_add(struct kb_problem *p, const char *text)
{
        size_t n = strlen(p->text);

        snprintf(p->text + n, sizeof(p->text) - n, "%s", text);
}

enum kb_error kb_problem_errno(struct kb_problem *p, int r, const char *doing)
{
        for (size_t i = 0; i < KB_ARRAY_SIZE(table); i++)
                if (table[i].number == -r)
                        return kb_problem(p, table[i].error, "%s: %s", doing, table[i].text);
        return kb_problem(p, KB_E_INTERNAL, "%s: %s", doing, strerror(-r));
}
