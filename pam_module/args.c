/* SPDX-License-Identifier: Apache-2.0 */
#include "pam_module/args.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/macro.h"

#define NOT_OURS SIZE_MAX /* a word that libpam looks for itself */

static const struct {
        const char *word; /* ends in '=' when a value follows */
        size_t flag;      /* where the bool lies in struct kb_args */
} words[] = {
        {"debug", offsetof(struct kb_args, debug)},
        {"quiet", offsetof(struct kb_args, quiet)},
        {"no_warn", offsetof(struct kb_args, quiet)},
        {"nodelay", offsetof(struct kb_args, nodelay)},
        {"use_first_pass", NOT_OURS},
        {"try_first_pass", NOT_OURS},
        {"use_authtok", NOT_OURS},
        {"authtok_type=", NOT_OURS},
};

static bool is_word(const char *argument, const char *word)
{
        size_t n = strlen(word);

        return word[n - 1] == '=' ? strncmp(argument, word, n) == 0 : strcmp(argument, word) == 0;
}

static bool take(struct kb_args *args, const char *argument)
{
        for (size_t i = 0; i < KB_ARRAY_SIZE(words); i++) {
                if (!is_word(argument, words[i].word))
                        continue;
                if (words[i].flag != NOT_OURS)
                        *(bool *)((char *)args + words[i].flag) = true;
                return true;
        }
        return false;
}

struct kb_args kb_args_parse(int argc, const char **argv)
{
        struct kb_args args = {0};

        for (int i = 0; i < argc; i++)
                if (!take(&args, argv[i]) && !args.unknown)
                        args.unknown = argv[i];
        return args;
}
