/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What runs a target where there is no libFuzzer: every file of its corpus once, as a test of `make check`;
 * or the files named on the command line.
 */
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "tests/fuzz/fuzz.h"

#define INPUT_MAX (16 * 1024 * 1024)

static void run_file(const char *path)
{
        _cleanup_fclose_ FILE *f = fopen(path, "re");
        _cleanup_free_ uint8_t *data = malloc(INPUT_MAX);
        _cleanup_free_ uint8_t *exact = NULL;
        size_t size;

        if (!f || !data)
                err(EXIT_FAILURE, "%s", path);
        size = fread(data, 1, INPUT_MAX, f);
        exact = malloc(size > 0 ? size : 1); /* so that a sanitizer sees one byte too far */
        if (!exact)
                err(EXIT_FAILURE, "%s", path);
        memcpy(exact, data, size);
        LLVMFuzzerTestOneInput(exact, size);
}

/* Returns how many there were. */
static unsigned run_folder(const char *folder)
{
        _cleanup_(kb_closedirp) DIR *d = opendir(folder);
        struct dirent *entry;
        unsigned n = 0;

        if (!d)
                err(EXIT_FAILURE, "%s", folder);
        while ((entry = readdir(d))) {
                _cleanup_free_ char *path = NULL;

                if (entry->d_name[0] == '.')
                        continue;
                if (asprintf(&path, "%s/%s", folder, entry->d_name) < 0)
                        err(EXIT_FAILURE, "%s", folder);
                run_file(path);
                n++;
        }
        return n;
}

int main(int argc, char *argv[])
{
        const char *source = getenv("top_srcdir");
        const char *name = program_invocation_short_name;
        _cleanup_free_ char *folder = NULL;
        unsigned n;

        for (int i = 1; i < argc; i++)
                run_file(argv[i]);
        if (argc > 1)
                return EXIT_SUCCESS;
        if (strncmp(name, "fuzz-", 5) != 0)
                errx(EXIT_FAILURE, "%s is not called fuzz-NAME", name);
        if (asprintf(&folder, "%s/tests/fuzz/corpus/%s", source ? source : ".", name + 5) < 0)
                err(EXIT_FAILURE, "%s", name);
        n = run_folder(folder);
        if (n == 0)
                errx(EXIT_FAILURE, "%s is empty", folder);
        printf("%u inputs\n", n);
        return EXIT_SUCCESS;
}
