/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/module/pam-names.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "common/cleanup.h"
#include "common/clock.h"
#include "directory/nss_publish.h"

static int load(const char *const names[], struct kb_directory **ret)
{
        const struct kb_directory_options options = {.range = {KB_ID_MIN_DEFAULT, KB_ID_MAX_DEFAULT}};
        _cleanup_writer_ struct kb_writer document = kb_writer_init(65536);
        struct kb_refused refused;
        int r;

        for (uint32_t i = 0; names[i]; i++)
                kb_directory_add_person(&document, &(struct kb_person_record){
                                                           .name = names[i],
                                                           .uid = KB_ID_MIN_DEFAULT + i,
                                                           .full_name = names[i],
                                                           .home = "/nonexistent",
                                                           .shell = "/bin/sh",
                                                           .has_password = true,
                                                           .expires = KB_TIME_NEVER,
                                                   });
        r = kb_writer_end(&document);
        return r < 0 ? r : kb_directory_load(ret, KB_SPAN(document.data, document.size), &options, &refused);
}

int names_publish(const char *folder, const char *const names[])
{
        _cleanup_(kb_directory_freep) struct kb_directory *directory = NULL;
        _cleanup_close_ int fd = -1;
        int r = load(names, &directory);

        if (r < 0)
                return r;
        if (mkdir(folder, 0755) < 0 && errno != EEXIST)
                return -errno;
        fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 ? -errno : kb_nss_publish(fd, directory);
}
