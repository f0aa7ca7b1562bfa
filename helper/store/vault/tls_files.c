/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/vault/tls_files.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <string.h>
#include <sys/stat.h>

#include "common/file.h"
#include "helper/store/pem.h"

#define FILE_MAX ((size_t)1024 * 1024) /* the authorities of a whole system are a quarter of this */

enum which { CA, CERTIFICATE, KEY, N_FILES };

struct content {
        uint8_t *data; /* wiped */
        size_t size;
        struct stat st; /* of the file that it was read from */
};

struct kb_tls_files {
        char *paths[N_FILES]; /* NULL: none */
        struct content in_use[N_FILES];
        struct kb_problem trouble;
};

static void contents_done(struct content *contents)
{
        for (size_t i = 0; i < N_FILES; i++)
                kb_secret_free(take_ptr(contents[i].data));
}

static struct kb_span span_of(const struct content *content)
{
        return KB_SPAN(content->data ? content->data : (const uint8_t *)"", content->size);
}

/* --- reading --- */

static int read_file(const char *path, struct content *ret)
{
        _cleanup_free_ char *real =
                realpath(path, NULL); /* a link is fine: certificates are renewed by moving one */
        int r;

        if (!real || stat(real, &ret->st) < 0)
                return -errno;
        r = kb_file_read_at(AT_FDCWD, real, FILE_MAX, &ret->data, &ret->size);
        return r < 0 ? r : 0;
}

static enum kb_error check_ca(const char *path, const struct content *ca, struct kb_problem *problem)
{
        _cleanup_(X509_freep) X509 *first = kb_pem_certificate(span_of(ca));

        if (!first)
                return kb_problem(problem, KB_E_BAD_REQUEST, "%s: no certificate of an authority in it",
                                  path);
        return KB_E_OK;
}

static enum kb_error check_pair(char *const *paths, const struct content *contents,
                                struct kb_problem *problem)
{
        enum which holds_key = paths[KEY] ? KEY : CERTIFICATE;
        _cleanup_(X509_freep) X509 *certificate = kb_pem_certificate(span_of(&contents[CERTIFICATE]));
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = kb_pem_key(span_of(&contents[holds_key]));

        if (!certificate)
                return kb_problem(problem, KB_E_BAD_REQUEST, "%s: no certificate in it", paths[CERTIFICATE]);
        if (!key)
                return kb_problem(problem, KB_E_BAD_REQUEST,
                                  "%s: no key in it that can be read without a passphrase",
                                  paths[holds_key]);
        if (X509_check_private_key(certificate, key) != 1)
                return kb_problem(problem, KB_E_BAD_REQUEST, "%s: the key in %s is not its own",
                                  paths[CERTIFICATE], paths[holds_key]);
        if (contents[holds_key].st.st_mode & S_IRWXO)
                return kb_problem(problem, KB_E_BAD_REQUEST, "%s: everybody may read the key: chmod o= it",
                                  paths[holds_key]);
        return KB_E_OK;
}

/* All files, anew. Nothing of it is taken unless all of it can be used. */
static enum kb_error read_all(char *const *paths, struct content *contents, struct kb_problem *problem)
{
        enum kb_error error = KB_E_OK;

        for (size_t i = 0; i < N_FILES; i++) {
                int r = paths[i] ? read_file(paths[i], &contents[i]) : 0;

                if (r < 0)
                        return kb_problem(problem, KB_E_BAD_REQUEST, "%s: %s", paths[i], strerror(-r));
        }
        if (paths[CA])
                error = check_ca(paths[CA], &contents[CA], problem);
        if (error == KB_E_OK && paths[CERTIFICATE])
                error = check_pair(paths, contents, problem);
        ERR_clear_error();
        return error;
}

static bool changed(const struct kb_tls_files *files)
{
        for (size_t i = 0; i < N_FILES; i++) {
                const struct stat *old = &files->in_use[i].st;
                struct stat st;

                if (!files->paths[i])
                        continue;
                if (stat(files->paths[i], &st) < 0 || st.st_dev != old->st_dev || st.st_ino != old->st_ino ||
                    st.st_size != old->st_size || st.st_mode != old->st_mode ||
                    st.st_mtim.tv_sec != old->st_mtim.tv_sec || st.st_mtim.tv_nsec != old->st_mtim.tv_nsec)
                        return true;
        }
        return false;
}

static enum kb_error load(struct kb_tls_files *files, struct kb_problem *problem)
{
        struct content contents[N_FILES] = {{NULL}};
        enum kb_error error = read_all(files->paths, contents, problem);

        if (error == KB_E_OK) {
                contents_done(files->in_use);
                memcpy(files->in_use, contents, sizeof(contents));
        } else {
                contents_done(contents);
        }
        return error;
}

void kb_tls_files_refresh(struct kb_tls_files *files)
{
        struct kb_problem problem = {.text = ""};

        if (changed(files))
                load(files, &problem);
        files->trouble = problem;
}

/* --- a set of files --- */

enum kb_error kb_tls_files_new(struct kb_tls_files **ret, const char *ca_file, const char *certificate_file,
                               const char *key_file, struct kb_problem *problem)
{
        const char *const paths[N_FILES] = {
                [CA] = ca_file, [CERTIFICATE] = certificate_file, [KEY] = key_file};
        _cleanup_(kb_tls_files_freep) struct kb_tls_files *files = calloc(1, sizeof(*files));
        enum kb_error error;

        if (key_file && !certificate_file)
                return kb_problem(problem, KB_E_BAD_REQUEST, "%s: a key without a certificate", key_file);
        for (size_t i = 0; files && i < N_FILES; i++) {
                files->paths[i] = paths[i] ? strdup(paths[i]) : NULL;
                if (paths[i] && !files->paths[i])
                        return kb_problem_errno(problem, -ENOMEM, paths[i]);
        }
        if (!files)
                return kb_problem_errno(problem, -ENOMEM, "the files of TLS");
        error = load(files, problem);
        if (error == KB_E_OK)
                *ret = take_ptr(files);
        return error;
}

void kb_tls_files_free(struct kb_tls_files *files)
{
        if (!files)
                return;
        contents_done(files->in_use);
        for (size_t i = 0; i < N_FILES; i++)
                free(files->paths[i]);
        free(files);
}

const char *kb_tls_files_trouble(const struct kb_tls_files *files)
{
        return files->trouble.text;
}

struct kb_span kb_tls_files_ca(const struct kb_tls_files *files)
{
        return span_of(&files->in_use[CA]);
}

struct kb_span kb_tls_files_certificate(const struct kb_tls_files *files)
{
        return span_of(&files->in_use[CERTIFICATE]);
}

struct kb_span kb_tls_files_key(const struct kb_tls_files *files)
{
        return span_of(&files->in_use[files->paths[KEY] ? KEY : CERTIFICATE]);
}
