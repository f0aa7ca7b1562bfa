/* SPDX-License-Identifier: Apache-2.0 */
/* Templates of an administrator: up to the first NUL. A second NUL ends the value of the field `a`. */
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <string.h>

#include "helper/config/template.h"
#include "helper/grant/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_list_ struct kb_list_builder b = kb_list_builder_init(1 << 20);
        _cleanup_writer_ struct kb_writer out = kb_writer_init(1 << 20);
        _cleanup_(kb_fields_freep) struct kb_fields *fields = NULL;
        _cleanup_secret_ char *template = (char *)kb_secret_dup(KB_SPAN(data, size));
        struct kb_fields_problem problem = {""};
        struct kb_template_problem wrong = {""};
        const kb_value_pairs any = {0};
        size_t used;
        int checked, written;

        FUZZ_ASSERT(template);
        used = strlen(template);
        used += used < size ? 1 : 0;
        kb_list_add_pair(&b, "a", KB_SPAN(data + used, size - used));
        kb_list_add_text(&b, "b", "{{a}}");
        if (kb_fields_new(kb_list_built(&b), NULL, 0, &fields, NULL) < 0)
                return 0;
        checked = kb_template_check(template, &any, &wrong);
        written = kb_template_write(template, fields, &out, &problem);
        FUZZ_ASSERT(checked == 0 ? written != -EINVAL : written < 0);
        FUZZ_ASSERT(checked == 0 || (problem.text[0] && wrong.text[0]));
        if (!strstr(template, "{{")) /* plain text is itself */
                FUZZ_ASSERT(kb_secret_equal(KB_SPAN(out.data, out.size), KB_SPAN_STRING(template)));
        return 0;
}
