/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/vault/login_method.h"

#include <errno.h>
#include <openssl/sha.h>
#include <string.h>

static void approle(const struct kb_login_settings *settings, const struct kb_span *parts, struct kb_body *b)
{
        kb_body_bytes(b, "role_id", parts[0]);
        if (parts[KB_LOGIN_PART_SECRET_ID].size > 0)
                kb_body_bytes(b, "secret_id", parts[KB_LOGIN_PART_SECRET_ID]);
}

static void cert(const struct kb_login_settings *settings, const struct kb_span *parts, struct kb_body *b)
{
        if (settings->role)
                kb_body_text(b, "name", settings->role);
}

static void jwt(const struct kb_login_settings *settings, const struct kb_span *parts, struct kb_body *b)
{
        if (settings->role)
                kb_body_text(b, "role", settings->role);
        kb_body_bytes(b, "jwt", parts[0]);
}

#define PATH(member) offsetof(struct kb_login_settings, member)

const struct kb_login_method_row kb_login_methods[KB_LOGIN_METHODS] = {
        [KB_LOGIN_APPROLE] =
                {
                        .word = "approle",
                        .careful = true,
                        .parts = {{"the RoleID", PATH(role_id_file), KB_LOGIN_FILE_OPEN, false},
                                  {"the SecretID", PATH(secret_id_file), 0, true}},
                        .body = approle,
                },
        [KB_LOGIN_CERT] = {.word = "cert", .body = cert},
        [KB_LOGIN_JWT] =
                {
                        .word = "jwt",
                        .parts = {{"the JWT", PATH(jwt_file), KB_LOGIN_FILE_LINK, false}},
                        .body = jwt,
                },
        [KB_LOGIN_KUBERNETES] =
                {
                        .word = "kubernetes",
                        .role = true,
                        /* kubelet writes it for all of the pod */
                        .parts = {{"the JWT", PATH(jwt_file), KB_LOGIN_FILE_LINK | KB_LOGIN_FILE_OPEN,
                                   false}},
                        .body = jwt,
                },
        [KB_LOGIN_TOKEN] =
                {
                        .word = "token",
                        .careful = true,
                        .given = true,
                        .watched = true,
                        .parts = {{"the token", PATH(token_file), 0, false}},
                },
};

static const char *path_of(const struct kb_login_settings *settings, const struct kb_login_part *part)
{
        return *(const char *const *)(const void *)((const char *)settings + part->path);
}

int kb_login_settings_check(const struct kb_login_settings *settings)
{
        const struct kb_login_method_row *m;

        if ((unsigned)settings->method >= KB_LOGIN_METHODS)
                return -EINVAL;
        m = &kb_login_methods[settings->method];
        if ((m->role || settings->secret_id_wrapped) && !settings->role)
                return -EINVAL;
        if (settings->secret_id_wrapped && !settings->secret_id_file)
                return -EINVAL;
        for (size_t i = 0; i < KB_LOGIN_PARTS && m->parts[i].what; i++) {
                const char *path = path_of(settings, &m->parts[i]);

                if (path ? path[0] != '/' : !m->parts[i].optional)
                        return -EINVAL;
        }
        return 0;
}

uint64_t kb_login_print(struct kb_span bytes)
{
        uint8_t hash[SHA256_DIGEST_LENGTH];
        uint64_t print;

        SHA256(bytes.data, bytes.size, hash);
        memcpy(&print, hash, sizeof(print));
        return print;
}

/*
 * What a file is, for the print: its content, or why it cannot be read. The time of its change, too, so that
 * `touch` is a way to say that it is good now; but not that of a credential of systemd, which is written
 * anew at each start, and would let a program that starts again and again ask each time.
 */
static void print_file(const struct kb_login_settings *settings, const struct kb_login_file *file,
                       enum kb_error error, uint64_t *print)
{
        bool credential = settings->secret_id_credential != NULL;
        uint64_t all[5] = {*print, error};

        if (error == KB_E_OK) {
                all[2] = kb_login_print(KB_SPAN(file->bytes, file->size));
                all[3] = credential ? 0 : (uint64_t)file->changed.tv_sec;
                all[4] = credential ? 0 : (uint64_t)file->changed.tv_nsec;
        }
        *print = kb_login_print(KB_SPAN(all, sizeof(all)));
}

void kb_login_material_read(const struct kb_login_settings *settings, struct kb_login_material *ret)
{
        const struct kb_login_method_row *m = &kb_login_methods[settings->method];

        *ret = (struct kb_login_material){.problem.error = KB_E_OK};
        for (size_t i = 0; i < KB_LOGIN_PARTS && m->parts[i].what; i++) {
                const char *path = path_of(settings, &m->parts[i]);
                struct kb_problem problem;

                if (!path)
                        continue;
                ret->errors[i] = kb_login_file_read(path, m->parts[i].flags, m->parts[i].what,
                                                    &ret->files[i], &problem);
                if (ret->errors[i] != KB_E_OK && ret->problem.error == KB_E_OK)
                        ret->problem = problem;
                print_file(settings, &ret->files[i], ret->errors[i], &ret->print);
        }
}

void kb_login_material_done(struct kb_login_material *material)
{
        for (size_t i = 0; i < KB_LOGIN_PARTS; i++)
                kb_login_file_done(&material->files[i]);
}
