/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Release bound to scope: a variable marked `_cleanup_(fn)` is released when it goes out of scope,
 * on every path. take_ptr() and take_fd() hand the value on and leave nothing behind to release.
 */

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(fn)    __attribute__((cleanup(fn)))
#define _cleanup_free_   _cleanup_(kb_freep)
#define _cleanup_close_  _cleanup_(kb_closep)
#define _cleanup_fclose_ _cleanup_(kb_fclosep)

static inline void kb_freep(void *p)
{
        free(*(void **)p);
}

static inline void kb_closep(int *fd)
{
        if (*fd >= 0)
                close(*fd);
}

static inline void kb_fclosep(FILE **f)
{
        if (*f)
                fclose(*f);
}

static inline void kb_closedirp(DIR **d)
{
        if (*d)
                closedir(*d);
}

#define take_ptr(ptr)                                                                                       \
        ({                                                                                                  \
                __typeof__(ptr) _taken = (ptr);                                                             \
                (ptr) = NULL;                                                                               \
                _taken;                                                                                     \
        })

static inline int take_fd_(int *fd)
{
        int taken = *fd;

        *fd = -1;
        return taken;
}
#define take_fd(fd) take_fd_(&(fd))

/* Defines NAMEp(), the form that _cleanup_() wants, for a destructor that accepts NULL. */
#define KB_DEFINE_CLEANUP(type, fn)                                                                         \
        static inline void fn##p(type **p)                                                                  \
        {                                                                                                   \
                fn(*p);                                                                                     \
                *p = NULL;                                                                                  \
        }                                                                                                   \
        struct kb_swallow_semicolon_
