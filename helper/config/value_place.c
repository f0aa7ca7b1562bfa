/* SPDX-License-Identifier: Apache-2.0 */
/* The kinds of value that say where something is: a file, a host, the addresses of servers. */
#include <errno.h>
#include <string.h>

#include "helper/config/address.h"
#include "helper/config/file.h"
#include "helper/config/value_kinds.h"

/* Whether the path is absolute, and says in one way where it leads. */
static bool path_is_plain(const char *path)
{
        size_t n = strlen(path);

        return path[0] == '/' && path[n - 1] != '/' && !strstr(path, "//") && !strstr(path, "/./") &&
               !strstr(path, "/../") && strcmp(strrchr(path, '/'), "/.") != 0 &&
               strcmp(strrchr(path, '/'), "/..") != 0;
}

static int path_parse(const struct kb_value_limits *limits, const char *name, const char *text, void *to,
                      char **ret_problem)
{
        if (!path_is_plain(text))
                return kb_value_refuse(ret_problem,
                                       "is no absolute path of a file, without \".\" and \"..\"");
        return kb_value_copy(text, to);
}

static int host_parse(const struct kb_value_limits *limits, const char *name, const char *text, void *to,
                      char **ret_problem)
{
        if (!kb_host_valid(text))
                return kb_value_refuse(
                        ret_problem, "is no name of a host; use letters, digits, '-' and '.', without port");
        return kb_value_copy(text, to);
}

static int addresses_parse(const struct kb_value_limits *limits, const char *name, const char *text,
                           void *to, char **ret_problem)
{
        return kb_value_add_words(text, kb_address_judge, to, ret_problem);
}

const struct kb_value_ops kb_value_path_ops = {.parse = path_parse,
                                               .format = kb_value_string_format,
                                               .done = kb_value_string_done,
                                               .size = sizeof(char *)};
const struct kb_value_ops kb_value_host_ops = {.parse = host_parse,
                                               .format = kb_value_string_format,
                                               .done = kb_value_string_done,
                                               .size = sizeof(char *)};
const struct kb_value_ops kb_value_addresses_ops = {.parse = addresses_parse,
                                                    .format = kb_value_words_format,
                                                    .done = kb_value_words_done,
                                                    .size = sizeof(char **),
                                                    .is_list = true,
                                                    .goes_on = true};
