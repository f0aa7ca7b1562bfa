/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/store/vault/mfa.h"

#include <stdio.h>
#include <string.h>

#include "helper/store/vault/http.h"

/* The text of a member; "" when there is none. */
static const char *text_of(const struct kb_json_value *object, const char *name)
{
        const char *text;

        return kb_json_text(kb_json_get(object, name), &text) < 0 ? "" : text;
}

static bool is_id(const char *id)
{
        return id[0] && strlen(id) <= KB_MFA_METHOD_MAX && !strchr(id, ':') &&
               kb_http_header_valid(KB_SPAN_STRING(id));
}

static bool takes_code(const struct kb_json_value *method, const char *wanted)
{
        bool code = false;

        return kb_json_flag(kb_json_get(method, "uses_passcode"), &code) >= 0 && code &&
               is_id(text_of(method, "id")) &&
               (!wanted || strcmp(text_of(method, "id"), wanted) == 0 ||
                strcmp(text_of(method, "name"), wanted) == 0);
}

/* Whether this method is enough for a constraint. */
static bool satisfies(const struct kb_json_value *constraint, const char *id)
{
        const struct kb_json_value *any = kb_json_get(constraint, "any");

        for (size_t i = 0; i < kb_json_count(any); i++)
                if (strcmp(text_of(kb_json_element(any, i), "id"), id) == 0)
                        return true;
        return false;
}

static bool satisfies_all(const struct kb_json_value *constraints, const char *id)
{
        const struct kb_json_value *constraint;
        struct kb_json_each each = {0};
        const char *name;

        while (kb_json_next(constraints, &each, &name, &constraint))
                if (!satisfies(constraint, id))
                        return false;
        return true;
}

enum kb_error kb_mfa_choose(const struct kb_json_value *requirement, const char *wanted,
                            char ret[KB_MFA_METHOD_MAX + 1], struct kb_problem *problem)
{
        const struct kb_json_value *constraints = kb_json_get(requirement, "mfa_constraints");
        const struct kb_json_value *first = NULL, *any;
        struct kb_json_each each = {0};
        const char *name;

        /* What is enough for all is among those of the first. */
        if (!kb_json_next(constraints, &each, &name, &first))
                return kb_problem(problem, KB_E_UNSUPPORTED,
                                  "the server wants a second factor, and does not say which");
        any = kb_json_get(first, "any");
        for (size_t i = 0; i < kb_json_count(any); i++) {
                const struct kb_json_value *method = kb_json_element(any, i);

                if (!takes_code(method, wanted) || !satisfies_all(constraints, text_of(method, "id")))
                        continue;
                snprintf(ret, KB_MFA_METHOD_MAX + 1, "%s", text_of(method, "id"));
                return KB_E_OK;
        }
        if (wanted)
                return kb_problem(problem, KB_E_UNSUPPORTED,
                                  "a code of MfaMethod=%s is not enough for the server", wanted);
        return kb_problem(problem, KB_E_UNSUPPORTED,
                          "the server wants a second factor that is not the code of one method");
}

bool kb_mfa_write(const char *method, struct kb_span code, struct kb_writer *w)
{
        size_t n = 0;

        kb_write_raw(w, KB_SPAN_STRING(method));
        kb_write_raw(w, KB_SPAN_STRING(":"));
        for (size_t i = 0; i < code.size; i++) {
                uint8_t c = code.data[i] | 0x20; /* a digit stays what it is */

                if (code.data[i] == ' ')
                        continue;
                if (!((c >= '0' && c <= '9' && c == code.data[i]) || (c >= 'a' && c <= 'z')) ||
                    ++n > KB_MFA_CODE_MAX)
                        return false;
                kb_write_raw(w, KB_SPAN(code.data + i, 1));
        }
        return n > 0 && kb_writer_end(w) >= 0;
}
