/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/local/password.h"

#include <crypt.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <pwquality.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define METHOD "$y$" /* yescrypt, at the library's own costs */

/* The password as crypt(3) wants it. NULL when it is none. */
static char *as_text(struct kb_span password)
{
        if (password.size == 0 || password.size >= KB_PASSWORD_MAX ||
            memchr(password.data, 0, password.size))
                return NULL;
        return (char *)kb_secret_dup(password);
}

/* Hashes under a setting (a salt, or a hash that has one). */
static int run(const char *text, const char *setting, char ret[KB_HASH_MAX])
{
        _cleanup_secret_ struct crypt_data *data = kb_secret_alloc(sizeof(*data));
        const char *hash;

        if (!data)
                return -ENOMEM;
        hash = crypt_r(text, setting, data);
        if (!hash || hash[0] == '*')
                return -EIO;
        snprintf(ret, KB_HASH_MAX, "%s", hash);
        return 0;
}

int kb_password_hash(struct kb_span password, char ret[KB_HASH_MAX])
{
        _cleanup_secret_ char *text = as_text(password);
        char salt[CRYPT_GENSALT_OUTPUT_SIZE];

        if (!text)
                return -EINVAL;
        if (!crypt_gensalt_rn(METHOD, 0, NULL, 0, salt, sizeof(salt)))
                return -EIO;
        return run(text, salt, ret);
}

bool kb_password_matches(struct kb_span password, const char *hash)
{
        static const char nobody[] = METHOD "j9T$zmHPMUMrAXYSPTWpT7ozq0$";
        _cleanup_secret_ char *text = as_text(password);
        bool known = hash && hash[0];
        char got[KB_HASH_MAX];
        bool same;

        if (run(text ? text : "x", known ? hash : nobody, got) < 0)
                return false;
        same = kb_secret_equal(KB_SPAN_STRING(got), KB_SPAN_STRING(known ? hash : nobody));
        kb_wipe(got, sizeof(got));
        return same && known && text;
}

/* --- quality --- */

/* The dictionary behind the library keeps its state in static variables. */
static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

/*
 * Whether there is a dictionary to look words up in. Where there is none the library refuses every password;
 * then the other rules have to do.
 */
static bool has_dictionary(pwquality_settings_t *settings)
{
        static const char *const places[] = {"/var/cache/cracklib/cracklib_dict",
                                             "/usr/share/cracklib/pw_dict"};
        const char *configured = NULL;
        char path[PATH_MAX];

        if (pwquality_get_str_value(settings, PWQ_SETTING_DICT_PATH, &configured) == 0 && configured &&
            configured[0]) {
                snprintf(path, sizeof(path), "%s.pwd", configured);
                return access(path, R_OK) == 0;
        }
        for (size_t i = 0; i < KB_ARRAY_SIZE(places); i++) {
                snprintf(path, sizeof(path), "%s.pwd", places[i]);
                if (access(path, R_OK) == 0)
                        return true;
        }
        return false;
}

static int check(const char *password, const char *old, const char *user, void **ret_detail)
{
        pwquality_settings_t *settings = pwquality_default_settings();
        int r;

        if (!settings)
                return PWQ_ERROR_MEM_ALLOC;
        r = pwquality_read_config(settings, NULL, ret_detail);
        if (r == PWQ_ERROR_CFGFILE_OPEN)
                r = 0; /* no file: the library's own rules */
        if (r == 0 && !has_dictionary(settings))
                r = pwquality_set_int_value(settings, PWQ_SETTING_DICT_CHECK, 0);
        if (r == 0)
                r = pwquality_check(settings, password, old, user, ret_detail);
        pwquality_free_settings(settings);
        return r;
}

enum kb_error kb_password_quality(struct kb_span password, struct kb_span old, const char *user,
                                  struct kb_problem *problem)
{
        _cleanup_secret_ char *text = as_text(password), *old_text = as_text(old);
        char reason[PWQ_MAX_ERROR_MESSAGE_LEN];
        void *detail = NULL;
        int r;

        if (!text)
                return kb_problem(problem, KB_E_WEAK, "the new password is empty, too long, or no text");
        pthread_mutex_lock(&one_at_a_time);
        r = check(text, old_text, user, &detail);
        if (r < 0)
                pwquality_strerror(reason, sizeof(reason), r, detail);
        pthread_mutex_unlock(&one_at_a_time);
        return r < 0 ? kb_problem(problem, KB_E_WEAK, "%s", reason) : KB_E_OK;
}
