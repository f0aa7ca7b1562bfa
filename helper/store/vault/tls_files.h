/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The files that TLS needs, in memory: the authorities, this host's certificate and its key. Each is PEM,
 * and may be a link. They are looked at again and again, and read when they changed; what is read must fit
 * together before it replaces what is in use, since certificate and key are two files that nobody can change
 * at once.
 */

#include "helper/store/problem.h"
#include "common/secret.h"

struct kb_tls_files;

/* Paths are copied; NULL where there is none. KB_E_OK, or KB_E_BAD_REQUEST and a sentence with the file's
 * name. */
enum kb_error kb_tls_files_new(struct kb_tls_files **ret, const char *ca_file, const char *certificate_file,
                               const char *key_file, struct kb_problem *problem) _must_check_;
void kb_tls_files_free(struct kb_tls_files *files); /* wipes */
KB_DEFINE_CLEANUP(struct kb_tls_files, kb_tls_files_free);

/* Reads again what changed. What cannot be used is not taken, and looked at again the next time. */
void kb_tls_files_refresh(struct kb_tls_files *files);

/* Why a changed file is not in use; "" when all are. */
const char *kb_tls_files_trouble(const struct kb_tls_files *files);

/* What is in use, until the next refresh; empty where there is no file. The key may stand in the
 * certificate's. */
struct kb_span kb_tls_files_ca(const struct kb_tls_files *files);
struct kb_span kb_tls_files_certificate(const struct kb_tls_files *files);
struct kb_span kb_tls_files_key(const struct kb_tls_files *files);
