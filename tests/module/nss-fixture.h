/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The built module, its functions, and a folder to publish in that it reads from. */

#include <dlfcn.h>
#include <errno.h>

#include "directory/nss_publish.h"
#include "nss_module/module.h"
#include "tests/unit/directory.h"
#include "tests/unit/folder.h"

int __nss_configure_lookup(const char *db, const char *service_line);

static struct {
        enum nss_status (*getpwnam)(const char *, struct passwd *, char *, size_t, int *);
        enum nss_status (*getpwuid)(uid_t, struct passwd *, char *, size_t, int *);
        enum nss_status (*setpwent)(int);
        enum nss_status (*getpwent)(struct passwd *, char *, size_t, int *);
        enum nss_status (*endpwent)(void);
        enum nss_status (*getgrnam)(const char *, struct group *, char *, size_t, int *);
        enum nss_status (*getgrgid)(gid_t, struct group *, char *, size_t, int *);
        enum nss_status (*setgrent)(int);
        enum nss_status (*getgrent)(struct group *, char *, size_t, int *);
        enum nss_status (*endgrent)(void);
        enum nss_status (*initgroups)(const char *, gid_t, long *, long *, gid_t **, long, int *);
} module;

static int folder_fd = -1;

static inline void *symbol(void *handle, const char *name)
{
        char full[64];
        void *p;

        snprintf(full, sizeof(full), "_nss_keybearer_%s", name);
        p = dlsym(handle, full);
        if (!p)
                fail_msg("%s", dlerror());
        return p;
}

/* glibc finds by its soname what is loaded already, so no search path has to be set before we start. */
static inline int load_module(void **state)
{
        const char *build = getenv("top_builddir");
        char path[512];
        void *handle;

        if (test_folder_make(state) < 0 || setenv("KEYBEARER_TEST_DIR", test_folder, 1) < 0)
                return -1;
        folder_fd = open(test_folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        snprintf(path, sizeof(path), "%s/tests/module/libnss_keybearer.so.2", build ? build : ".");
        handle = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
        if (folder_fd < 0 || !handle) {
                fprintf(stderr, "%s\n", handle ? test_folder : dlerror());
                return -1;
        }
        *(void **)&module.getpwnam = symbol(handle, "getpwnam_r");
        *(void **)&module.getpwuid = symbol(handle, "getpwuid_r");
        *(void **)&module.setpwent = symbol(handle, "setpwent");
        *(void **)&module.getpwent = symbol(handle, "getpwent_r");
        *(void **)&module.endpwent = symbol(handle, "endpwent");
        *(void **)&module.getgrnam = symbol(handle, "getgrnam_r");
        *(void **)&module.getgrgid = symbol(handle, "getgrgid_r");
        *(void **)&module.setgrent = symbol(handle, "setgrent");
        *(void **)&module.getgrent = symbol(handle, "getgrent_r");
        *(void **)&module.endgrent = symbol(handle, "endgrent");
        *(void **)&module.initgroups = symbol(handle, "initgroups_dyn");
        return 0;
}

static inline void publish(const struct item *items)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(KB_DIRECTORY_SIZE_MAX);
        _cleanup_(kb_directory_freep) struct kb_directory *d = NULL;
        struct kb_directory_options options = {.range = TEST_RANGE};
        struct kb_refused refused;

        add_items(&w, items);
        assert_ok(kb_directory_load(&d, KB_SPAN(w.data, w.size), &options, &refused));
        assert_ok(kb_nss_publish(folder_fd, d));
}
