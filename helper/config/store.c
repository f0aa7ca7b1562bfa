/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/config/store.h"

#include <stdio.h>
#include <string.h>

#include "common/names.h"

static void report(const char *folder, const char *name, struct kb_problems *problems)
{
        _cleanup_free_ char *path = NULL;

        if (asprintf(&path, "%s/%s.conf", folder, name) < 0)
                path = NULL;
        if (strcmp(name, KB_STORE_LOCAL) == 0)
                kb_problems_add(problems, path, 0,
                                "the local store has no settings; name the file otherwise");
        else
                kb_problems_add(problems, path, 0,
                                "\"%s\" is no name for a store; name the file with letters, digits, '_' "
                                "and '-', and .conf",
                                name);
}

int kb_store_names(const char *folder, const struct kb_config_trust *trust, struct kb_problems *problems,
                   char ***ret_names)
{
        _cleanup_strv_ char **names = NULL;
        size_t n = 0;
        int r = kb_config_folder_list(folder, trust, problems, &names);

        if (r < 0)
                return r;
        for (size_t i = 0; names[i]; i++) {
                char *name = names[i];

                names[i] = NULL;
                name[strlen(name) - strlen(".conf")] = '\0';
                if (kb_name_word_valid(name) && strcmp(name, KB_STORE_LOCAL) != 0) {
                        names[n++] = name;
                        continue;
                }
                report(folder, name, problems);
                free(name);
        }
        *ret_names = take_ptr(names);
        return 0;
}
