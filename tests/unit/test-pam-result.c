/* SPDX-License-Identifier: Apache-2.0 */
/* From verdict to PAM code. The codes themselves are read through libpam in tests/module. */
#include "tests/unit/test.h"

#include <security/_pam_types.h>
#include <stdbool.h>

#include "common/macro.h"
#include "pam_module/result.h"

static const uint32_t verdicts[] = {
#define ERROR(number, name, word, exit_status, text) number,
#include "common/error.def"
#undef ERROR
        KB_V_FOREIGN,   KB_V_CANNOT_TELL, KB_V_NO_NAME,         KB_V_BAD_ARGUMENT,
        KB_V_NO_ANSWER, KB_V_NO_MEMORY,   KB_V_CHANGE_PASSWORD,
};

/* But for the end of a session: that has come, whatever we say. */
static void only_success_is_success(void **state)
{
        for (size_t i = 0; i < KB_ARRAY_SIZE(verdicts); i++)
                for (unsigned phase = 0; phase < KB_PHASE_MAX; phase++) {
                        bool expected = verdicts[i] == KB_E_OK || phase == KB_PHASE_CLOSE_SESSION ||
                                        (phase == KB_PHASE_OPEN_SESSION && verdicts[i] == KB_V_FOREIGN);

                        assert_int_equal(kb_result_pam(phase, verdicts[i]) == PAM_SUCCESS, expected);
                }
}

/* The profile ignores PAM_USER_UNKNOWN, and PAM_IGNORE means "as if we were not there". */
static void nothing_that_can_be_ignored_is_said_of_our_people(void **state)
{
        for (size_t i = 0; i < KB_ARRAY_SIZE(verdicts); i++)
                for (unsigned phase = 0; phase < KB_PHASE_MAX; phase++) {
                        int code = kb_result_pam(phase, verdicts[i]);

                        assert_int_not_equal(code, PAM_IGNORE);
                        if (code == PAM_USER_UNKNOWN)
                                assert_int_equal(verdicts[i], KB_V_FOREIGN);
                }
}

static void a_verdict_from_the_future_is_a_refusal(void **state)
{
        static const uint32_t numbers[] = {
                KB_ARRAY_SIZE(verdicts) - 7, /* wire numbers begin at 0 and have no gap */
                99,
                0xffff,
                KB_V_CHANGE_PASSWORD + 1,
                0x7fffffff,
                0xffffffff,
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(numbers); i++) {
                for (unsigned phase = 0; phase <= KB_PHASE_MAX; phase++) {
                        int code = kb_result_pam(phase, numbers[i]);

                        assert_true(code == PAM_SYSTEM_ERR || code == PAM_SESSION_ERR ||
                                    code == PAM_AUTHTOK_ERR || phase == KB_PHASE_CLOSE_SESSION);
                }
                assert_string_equal(kb_result_word(numbers[i]), "unknown");
        }
}

static void every_verdict_has_a_row_of_its_own(void **state)
{
        for (size_t i = 0; i < KB_ARRAY_SIZE(verdicts); i++) {
                assert_string_not_equal(kb_result_word(verdicts[i]), "unknown");
                for (size_t k = 0; k < i; k++)
                        assert_string_not_equal(kb_result_word(verdicts[i]), kb_result_word(verdicts[k]));
        }
}

static void every_phase_has_a_name(void **state)
{
        for (unsigned phase = 0; phase < KB_PHASE_MAX; phase++)
                assert_string_not_equal(kb_phase_name(phase), "unknown phase");
        assert_string_equal(kb_phase_name(KB_PHASE_MAX), "unknown phase");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(only_success_is_success),
                cmocka_unit_test(nothing_that_can_be_ignored_is_said_of_our_people),
                cmocka_unit_test(a_verdict_from_the_future_is_a_refusal),
                cmocka_unit_test(every_verdict_has_a_row_of_its_own),
                cmocka_unit_test(every_phase_has_a_name),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
