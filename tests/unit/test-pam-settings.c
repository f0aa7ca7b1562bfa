/* SPDX-License-Identifier: Apache-2.0 */
/* What the shipped module is set to, since the one in tests/module has settings of its own. */
#include "tests/unit/test.h"

#include <stdlib.h>

#include "common/macro.h"
#include "pam_module/settings.h"

static void the_shipped_module_looks_at_the_system(void **state)
{
        struct kb_pam_settings settings = kb_pam_settings();

        assert_string_equal(settings.passwd, "/etc/passwd");
        assert_string_equal(settings.root_socket, "/run/keybearer/root.sock");
        assert_string_equal(settings.auth_socket, "/run/keybearer/auth.sock");
        assert_string_equal(settings.nss->folder, KB_STATEDIR "/nss");
        assert_ptr_equal(settings.nss, kb_pam_settings().nss);
}

static void no_phase_takes_for_ever(void **state)
{
        static const uint64_t seconds[KB_PHASE_MAX] = {
                [KB_PHASE_AUTHENTICATE] = 15, [KB_PHASE_ACCOUNT] = 5,      [KB_PHASE_OPEN_SESSION] = 5,
                [KB_PHASE_CLOSE_SESSION] = 5, [KB_PHASE_PRELIMINARY] = 15, [KB_PHASE_CHANGE] = 15,
        };

        for (unsigned phase = 0; phase < KB_PHASE_MAX; phase++)
                assert_int_equal(kb_pam_settings().usec[phase], seconds[phase] * KB_USEC_PER_SEC);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_shipped_module_looks_at_the_system),
                cmocka_unit_test(no_phase_takes_for_ever),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
