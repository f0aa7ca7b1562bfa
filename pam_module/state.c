/* SPDX-License-Identifier: Apache-2.0 */
#include "pam_module/state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/names.h"

#define LOGIN_NAME        "KEYBEARER_SESSION"
#define CREDENTIALS_NAME  "KEYBEARER_CREDENTIALS"
#define CREDENTIALS_BELOW KB_RUNDIR "/users/"
#define DATA_NAME         "keybearer-session-"

/* "NAME=VALUE" sets, "NAME" alone removes. libpam copies it. */
static int put(struct kb_login *login, const char *setting)
{
        return pam_putenv(login->pamh, setting) == PAM_SUCCESS ? 0 : -ENOMEM;
}

static int set(struct kb_login *login, const char *name, const char *value)
{
        _cleanup_free_ char *setting = NULL;

        if (asprintf(&setting, "%s=%s", name, value) < 0) {
                setting = NULL;
                return -ENOMEM;
        }
        return put(login, setting);
}

const char *kb_state_login(const struct kb_login *login)
{
        const char *handle = pam_getenv(login->pamh, LOGIN_NAME);

        return kb_name_word_valid(handle) ? handle : "";
}

int kb_state_set_login(struct kb_login *login, const char *handle)
{
        return kb_name_word_valid(handle) ? set(login, LOGIN_NAME, handle) : -EBADMSG;
}

void kb_state_forget_login(struct kb_login *login)
{
        if (pam_getenv(login->pamh, LOGIN_NAME)) /* libpam complains about removing what is not there */
                (void)put(login, LOGIN_NAME);
}

int kb_state_set_credentials(struct kb_login *login, const char *path)
{
        if (!path[0])
                return pam_getenv(login->pamh, CREDENTIALS_NAME) ? put(login, CREDENTIALS_NAME) : 0;
        if (strncmp(path, CREDENTIALS_BELOW, strlen(CREDENTIALS_BELOW)) != 0 || !kb_text_valid(path) ||
            strstr(path, "/../"))
                return -EBADMSG;
        return set(login, CREDENTIALS_NAME, path);
}

static void free_data(pam_handle_t *pamh, void *data, int status)
{
        free(data);
}

/* The name of the data that belongs to this user, NULL when memory is out. */
static char *data_name(const struct kb_login *login)
{
        char *name = NULL;

        return asprintf(&name, DATA_NAME "%s", login->user) < 0 ? NULL : name;
}

const char *kb_state_session(const struct kb_login *login)
{
        _cleanup_free_ char *name = data_name(login);
        const void *data = NULL;

        return name && pam_get_data(login->pamh, name, &data) == PAM_SUCCESS && data ? data : "";
}

int kb_state_set_session(struct kb_login *login, const char *handle)
{
        _cleanup_free_ char *name = data_name(login), *copy = NULL;

        if (handle[0] && !kb_name_word_valid(handle))
                return -EBADMSG;
        copy = strdup(handle);
        if (!name || !copy || pam_set_data(login->pamh, name, copy, free_data) != PAM_SUCCESS)
                return -ENOMEM;
        take_ptr(copy);
        return 0;
}
