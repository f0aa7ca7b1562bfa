/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/local/x509.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/hex.h"
#include "helper/store/local/crypto.h"
#include "helper/store/pem.h"

KB_DEFINE_CLEANUP(X509_CRL, X509_CRL_free);
KB_DEFINE_CLEANUP(X509_REVOKED, X509_REVOKED_free);
KB_DEFINE_CLEANUP(X509_EXTENSION, X509_EXTENSION_free);
KB_DEFINE_CLEANUP(GENERAL_NAMES, GENERAL_NAMES_free);
KB_DEFINE_CLEANUP(GENERAL_NAME, GENERAL_NAME_free);
KB_DEFINE_CLEANUP(ASN1_INTEGER, ASN1_INTEGER_free);
KB_DEFINE_CLEANUP(ASN1_TIME, ASN1_TIME_free);
KB_DEFINE_CLEANUP(BIGNUM, BN_free);

/* --- PEM --- */

int kb_x509_key(struct kb_writer *ret_pem)
{
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = EVP_EC_gen("P-256");
        _cleanup_(BIO_free_allp) BIO *bio = BIO_new(BIO_s_mem());

        if (!key || !bio || PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1)
                return -EIO;
        return kb_pem_take(bio, ret_pem);
}

/* --- serial numbers --- */

int kb_x509_serial(char ret[KB_SERIAL_TEXT])
{
        uint8_t bytes[16];
        int r = kb_crypto_random(bytes, sizeof(bytes));

        if (r < 0)
                return r;
        bytes[0] = (bytes[0] & 0x3f) | 0x40; /* positive, and always 16 bytes long */
        kb_hex(KB_SPAN(bytes, sizeof(bytes)), ret);
        return 0;
}

static ASN1_INTEGER *serial_number(const char *text)
{
        _cleanup_(BN_freep) BIGNUM *number = NULL;

        return BN_hex2bn(&number, text) > 0 ? BN_to_ASN1_INTEGER(number, NULL) : NULL;
}

/* --- subject alternative names --- */

static int add_name(GENERAL_NAMES *names, int type, const char *text)
{
        _cleanup_(GENERAL_NAME_freep) GENERAL_NAME *name = GENERAL_NAME_new();
        ASN1_STRING *value = type == GEN_IPADD ? a2i_IPADDRESS(text) : ASN1_IA5STRING_new();

        if (!name || !value || (type != GEN_IPADD && ASN1_STRING_set(value, text, -1) != 1)) {
                ASN1_STRING_free(value);
                return -EINVAL;
        }
        GENERAL_NAME_set0_value(name, type, value);
        if (sk_GENERAL_NAME_push(names, name) <= 0)
                return -ENOMEM;
        name = NULL;
        return 0;
}

static int add_names(GENERAL_NAMES *names, int type, struct kb_list texts)
{
        const char *text;
        int r = 0;

        while (r >= 0 && kb_list_next_string(&texts, &text))
                r = add_name(names, type, text);
        return r;
}

static int add_alternative_names(X509 *certificate, const struct kb_x509_subject *subject)
{
        _cleanup_(GENERAL_NAMES_freep) GENERAL_NAMES *names = GENERAL_NAMES_new();
        int r;

        if (!names)
                return -ENOMEM;
        r = add_names(names, GEN_DNS, subject->dns);
        if (r >= 0)
                r = add_names(names, GEN_IPADD, subject->ip);
        if (r >= 0)
                r = add_names(names, GEN_URI, subject->uri);
        if (r < 0 || sk_GENERAL_NAME_num(names) == 0)
                return r;
        /* RFC 5280 4.2.1.6: critical when there is no other name */
        return X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, subject->common_name[0] == '\0',
                                 0) == 1
                       ? 0
                       : -EIO;
}

/* --- certificates --- */

static int add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
        _cleanup_(X509_EXTENSION_freep) X509_EXTENSION *extension = NULL;
        X509V3_CTX context;

        X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
        extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
        return extension && X509_add_ext(certificate, extension, -1) == 1 ? 0 : -EIO;
}

static int set_common_name(X509 *certificate, const char *name)
{
        if (!name[0])
                return 0;
        return X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8,
                                          (const unsigned char *)name, -1, -1, 0) == 1
                       ? 0
                       : -EINVAL;
}

/* What every certificate has: version 3, number, life, name, key. */
static int fill(X509 *certificate, const struct kb_x509_subject *subject, EVP_PKEY *key)
{
        _cleanup_(ASN1_INTEGER_freep) ASN1_INTEGER *serial = serial_number(subject->serial);

        if (!serial || X509_set_version(certificate, X509_VERSION_3) != 1 ||
            X509_set_serialNumber(certificate, serial) != 1 ||
            !ASN1_TIME_set(X509_getm_notBefore(certificate), (time_t)subject->not_before) ||
            !ASN1_TIME_set(X509_getm_notAfter(certificate), (time_t)subject->not_after) ||
            X509_set_pubkey(certificate, key) != 1)
                return -EIO;
        return set_common_name(certificate, subject->common_name);
}

static int sign(X509 *certificate, X509 *issuer, EVP_PKEY *key, struct kb_writer *to)
{
        _cleanup_(BIO_free_allp) BIO *bio = BIO_new(BIO_s_mem());

        if (X509_set_issuer_name(certificate, X509_get_subject_name(issuer)) != 1 ||
            X509_sign(certificate, key, EVP_sha256()) <= 0 || !bio ||
            PEM_write_bio_X509(bio, certificate) != 1)
                return -EIO;
        return kb_pem_take(bio, to);
}

int kb_x509_self_sign(const struct kb_x509_subject *subject, struct kb_span key_pem,
                      struct kb_writer *ret_pem)
{
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = kb_pem_key(key_pem);
        _cleanup_(X509_freep) X509 *certificate = X509_new();
        int r;

        if (!key || !certificate)
                return -EBADMSG;
        r = fill(certificate, subject, key);
        if (r >= 0)
                r = add_extension(certificate, certificate, NID_basic_constraints,
                                  "critical,CA:TRUE,pathlen:0");
        if (r >= 0)
                r = add_extension(certificate, certificate, NID_key_usage, "critical,keyCertSign,cRLSign");
        if (r >= 0)
                r = add_extension(certificate, certificate, NID_subject_key_identifier, "hash");
        return r < 0 ? r : sign(certificate, certificate, key, ret_pem);
}

static int add_uses(X509 *certificate, X509 *issuer, unsigned uses)
{
        static const char *const texts[] = {NULL, "serverAuth", "clientAuth", "serverAuth,clientAuth"};
        int r = add_extension(certificate, issuer, NID_key_usage, "critical,digitalSignature");

        uses &= KB_X509_SERVER | KB_X509_CLIENT;
        return r < 0 || !texts[uses] ? r
                                     : add_extension(certificate, issuer, NID_ext_key_usage, texts[uses]);
}

int kb_x509_issue(const struct kb_x509_subject *subject, struct kb_span key_pem,
                  const struct kb_x509_signer *signer, struct kb_writer *ret_pem)
{
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = kb_pem_key(key_pem), *ca_key = kb_pem_key(signer->key);
        _cleanup_(X509_freep) X509 *certificate = X509_new(),
                                   *issuer = kb_pem_certificate(signer->certificate);
        int r;

        if (!key || !ca_key || !certificate || !issuer)
                return -EBADMSG;
        r = fill(certificate, subject, key);
        if (r >= 0)
                r = add_extension(certificate, issuer, NID_basic_constraints, "critical,CA:FALSE");
        if (r >= 0)
                r = add_uses(certificate, issuer, subject->uses);
        if (r >= 0)
                r = add_extension(certificate, issuer, NID_subject_key_identifier, "hash");
        if (r >= 0)
                r = add_extension(certificate, issuer, NID_authority_key_identifier, "keyid:always");
        if (r >= 0)
                r = add_alternative_names(certificate, subject);
        return r < 0 ? r : sign(certificate, issuer, ca_key, ret_pem);
}

/* --- revocation lists --- */

static int add_revoked(X509_CRL *crl, const struct kb_x509_revoked *entry)
{
        _cleanup_(X509_REVOKED_freep) X509_REVOKED *revoked = X509_REVOKED_new();
        _cleanup_(ASN1_INTEGER_freep) ASN1_INTEGER *serial = serial_number(entry->serial);
        _cleanup_(ASN1_TIME_freep) ASN1_TIME *when = ASN1_TIME_set(NULL, (time_t)entry->when);

        if (!revoked || !serial || !when || X509_REVOKED_set_serialNumber(revoked, serial) != 1 ||
            X509_REVOKED_set_revocationDate(revoked, when) != 1 || X509_CRL_add0_revoked(crl, revoked) != 1)
                return -EIO;
        revoked = NULL;
        return 0;
}

static int set_crl_head(X509_CRL *crl, X509 *issuer, uint64_t number, uint64_t this_update,
                        uint64_t next_update)
{
        _cleanup_(ASN1_TIME_freep) ASN1_TIME *this = ASN1_TIME_set(NULL, (time_t)this_update);
        _cleanup_(ASN1_TIME_freep) ASN1_TIME *next = ASN1_TIME_set(NULL, (time_t)next_update);
        _cleanup_(ASN1_INTEGER_freep) ASN1_INTEGER *serial = ASN1_INTEGER_new();
        _cleanup_(X509_EXTENSION_freep) X509_EXTENSION *extension = NULL;
        X509V3_CTX context;

        if (!this || !next || !serial || ASN1_INTEGER_set_uint64(serial, number) != 1 ||
            X509_CRL_set_version(crl, X509_CRL_VERSION_2) != 1 ||
            X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer)) != 1 ||
            X509_CRL_set1_lastUpdate(crl, this) != 1 || X509_CRL_set1_nextUpdate(crl, next) != 1 ||
            X509_CRL_add1_ext_i2d(crl, NID_crl_number, serial, 0, 0) != 1)
                return -EIO;
        X509V3_set_ctx(&context, issuer, NULL, NULL, crl, 0);
        extension = X509V3_EXT_conf_nid(NULL, &context, NID_authority_key_identifier, "keyid:always");
        return extension && X509_CRL_add_ext(crl, extension, -1) == 1 ? 0 : -EIO;
}

int kb_x509_crl(const struct kb_x509_signer *signer, uint64_t number, uint64_t this_update,
                uint64_t next_update, const struct kb_x509_revoked *revoked, size_t n,
                struct kb_writer *ret_pem)
{
        _cleanup_(EVP_PKEY_freep) EVP_PKEY *key = kb_pem_key(signer->key);
        _cleanup_(X509_freep) X509 *issuer = kb_pem_certificate(signer->certificate);
        _cleanup_(X509_CRL_freep) X509_CRL *crl = X509_CRL_new();
        _cleanup_(BIO_free_allp) BIO *bio = BIO_new(BIO_s_mem());
        int r;

        if (!key || !issuer)
                return -EBADMSG;
        if (!crl || !bio)
                return -ENOMEM;
        r = set_crl_head(crl, issuer, number, this_update, next_update);
        for (size_t i = 0; r >= 0 && i < n; i++)
                r = add_revoked(crl, &revoked[i]);
        if (r < 0)
                return r;
        if (X509_CRL_sort(crl) != 1 || X509_CRL_sign(crl, key, EVP_sha256()) <= 0 ||
            PEM_write_bio_X509_CRL(bio, crl) != 1)
                return -EIO;
        return kb_pem_take(bio, ret_pem);
}
