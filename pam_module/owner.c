/* SPDX-License-Identifier: Apache-2.0 */
#include "pam_module/owner.h"

#include <errno.h>
#include <pwd.h>
#include <string.h>
#include <syslog.h>

#include <security/pam_ext.h>
#include <security/pam_modutil.h>

#include "pam_module/passwd_file.h"
#include "pam_module/settings.h"

static bool in_passwd_file(struct kb_login *login, const char *path)
{
        int r = kb_passwd_file_has(path, login->user);
        char buffer[128];

        if (r < 0 && r != -EINVAL) /* a name that no line can have is in no file */
                pam_syslog(login->pamh, LOG_ERR, "%s: %s", path, strerror_r(-r, buffer, sizeof(buffer)));
        return r > 0;
}

static uint32_t cannot_tell(struct kb_login *login, int r)
{
        char buffer[128];

        return kb_login_refuse(login, KB_V_CANNOT_TELL, "the name service file: %s",
                               strerror_r(-r, buffer, sizeof(buffer)));
}

/* Some other source has an id of ours: whoever that is may not pass as one of our people, or beside us. */
static uint32_t check_id(struct kb_login *login, struct kb_nss *nss)
{
        const struct passwd *pw = pam_modutil_getpwnam(login->pamh, login->user);
        struct kb_id_range range;
        int r;

        if (!pw)
                return KB_V_FOREIGN;
        r = kb_nss_id_range(nss, &range);
        if (r < 0)
                return cannot_tell(login, r);
        return kb_id_in_range(range, pw->pw_uid) ? KB_E_OK : KB_V_FOREIGN;
}

/* Ours by name. Where another source stands before us, the program would make somebody else of it. */
static uint32_t check_name(struct kb_login *login, uint32_t uid)
{
        const struct passwd *pw = pam_modutil_getpwnam(login->pamh, login->user);

        if (!pw || pw->pw_uid == uid)
                return KB_E_OK;
        return kb_login_refuse(login, KB_V_CANNOT_TELL, "another source gives this name the id %u",
                               (unsigned)pw->pw_uid);
}

uint32_t kb_owner_check(struct kb_login *login)
{
        struct kb_pam_settings settings = kb_pam_settings();
        uint32_t uid;
        int r;

        if (in_passwd_file(login, settings.passwd))
                return KB_V_FOREIGN;
        r = kb_nss_find_user(settings.nss, login->user, &uid);
        if (r < 0)
                return cannot_tell(login, r);
        return r > 0 ? check_name(login, uid) : check_id(login, settings.nss);
}
