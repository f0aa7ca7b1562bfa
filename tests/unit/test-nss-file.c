/* SPDX-License-Identifier: Apache-2.0 */
/* The users-1 file: what is written is read back, and whatever bytes there are, nothing worse than
 * "damaged". */
#include "tests/unit/directory.h"

#include <errno.h>
#include <stdio.h>

#include "directory/nss_image.h"
#include "directory/nss_view.h"

static const struct item small[] = {
        {KB_RECORD_person, "ana", 70001, .full_name = "Ana", .home = "/home/ana", .shell = "/bin/bash"},
        {KB_RECORD_person, "ben", 70002, .full_name = ""},
        {KB_RECORD_person, "carl", 70003},
        {KB_RECORD_group, "ben-s", 80001, .list = "ana carl"},
        {KB_RECORD_group, "empty", 80002},
        {KB_RECORD_group, "zoo", 80003, .list = "ana"},
        {},
};

static void image_of(const struct item *items, uint8_t **ret_data, size_t *ret_size)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(KB_DIRECTORY_SIZE_MAX);
        _cleanup_(kb_directory_freep) struct kb_directory *d = NULL;
        struct kb_directory_options options = {.range = TEST_RANGE};
        struct kb_refused refused;

        add_items(&w, items);
        assert_ok(kb_directory_load(&d, KB_SPAN(w.data, w.size), &options, &refused));
        assert_ok(kb_nss_image(d, 7, ret_data, ret_size));
}

/* --- what is written is read back --- */

static void a_user_is_what_the_directory_says(void **state)
{
        _cleanup_free_ uint8_t *data = NULL;
        struct kb_nss_view view;
        struct kb_nss_user ana, same;
        size_t size;

        image_of(small, &data, &size);
        assert_ok(kb_nss_view_init(&view, KB_SPAN(data, size)));
        assert_true(kb_nss_view_intact(&view));
        assert_int_equal(view.number, 7);
        assert_int_equal(view.range.min, KB_ID_MIN_DEFAULT);
        assert_int_equal(kb_nss_user_by_name(&view, "ana", &ana), 1);
        assert_int_equal(ana.uid, 70001);
        assert_string_equal(ana.name, "ana");
        assert_string_equal(ana.password, "*");
        assert_string_equal(ana.full_name, "Ana");
        assert_string_equal(ana.home, "/home/ana");
        assert_string_equal(ana.shell, "/bin/bash");
        assert_int_equal(ana.text_size, sizeof("ana:*:Ana:/home/ana:/bin/bash"));
        assert_int_equal(ana.n_gids, 2);
        assert_int_equal(kb_nss_user_gid(&view, &ana, 0), 80001);
        assert_int_equal(kb_nss_user_gid(&view, &ana, 1), 80003);
        assert_int_equal(kb_nss_user_by_id(&view, 70001, &same), 1);
        assert_ptr_equal(same.text, ana.text);
}

static void a_group_is_what_the_directory_says_and_everybody_has_his_own(void **state)
{
        _cleanup_free_ uint8_t *data = NULL;
        struct kb_nss_view view;
        struct kb_nss_group group;
        size_t size;

        image_of(small, &data, &size);
        assert_ok(kb_nss_view_init(&view, KB_SPAN(data, size)));
        assert_int_equal(kb_nss_group_by_name(&view, "ben-s", &group), 1);
        assert_int_equal(group.gid, 80001);
        assert_int_equal(group.n_members, 2);
        assert_string_equal(group.text + kb_nss_group_member(&group, 1), "carl");
        assert_int_equal(kb_nss_group_by_id(&view, 70003, &group), 1);
        assert_string_equal(group.name, "carl");
        assert_string_equal(group.password, "*");
        assert_int_equal(group.n_members, 0);
        assert_int_equal(group.text_size, sizeof("carl:*"));
        assert_int_equal(kb_nss_group_by_name(&view, "empty", &group), 1);
        assert_int_equal(group.n_members, 0);
}

static void groups_are_sorted_with_everybodys_own_among_them(void **state)
{
        static const char *const expected[] = {"ana", "ben", "ben-s", "carl", "empty", "zoo"};
        _cleanup_free_ uint8_t *data = NULL;
        struct kb_nss_view view;
        struct kb_nss_group group;
        size_t size;
        uint32_t i = 0;

        image_of(small, &data, &size);
        assert_ok(kb_nss_view_init(&view, KB_SPAN(data, size)));
        for (; kb_nss_group_at(&view, i, &group) > 0; i++)
                assert_string_equal(group.name, expected[i]);
        assert_int_equal(i, KB_ARRAY_SIZE(expected));
}

static void who_is_not_in_it_is_certainly_nobody(void **state)
{
        static const char *const names[] = {
                "",     "a",    "an",    "anaa", "root", "a/b",
                "a\nb", "\x01", "ana\n", "*",    "ANA",  "abcdefghijklmnopqrstuvwxyz0123456",
        };
        _cleanup_free_ uint8_t *data = NULL;
        char *long_name = malloc(70000);
        struct kb_nss_view view;
        struct kb_nss_user user;
        struct kb_nss_group group;
        size_t size;

        image_of(small, &data, &size);
        assert_ok(kb_nss_view_init(&view, KB_SPAN(data, size)));
        for (size_t i = 0; i < KB_ARRAY_SIZE(names); i++) {
                assert_int_equal(kb_nss_user_by_name(&view, names[i], &user), 0);
                assert_int_equal(kb_nss_group_by_name(&view, names[i], &group), 0);
        }
        assert_non_null(long_name);
        memset(long_name, 'a', 70000);
        for (size_t n = 32; n < 70000; n = n * 2 + 1) {
                long_name[n] = '\0';
                assert_int_equal(kb_nss_user_by_name(&view, long_name, &user), 0);
                assert_int_equal(kb_nss_group_by_name(&view, long_name, &group), 0);
                long_name[n] = 'a';
        }
        free(long_name);
        assert_int_equal(kb_nss_user_by_id(&view, 0, &user), 0);
        assert_int_equal(kb_nss_user_by_id(&view, 80001, &user), 0);
        assert_int_equal(kb_nss_group_by_id(&view, UINT32_MAX, &group), 0);
}

static void a_crowd_is_found_one_by_one(void **state)
{
        static const unsigned sizes[] = {0, 1, 2, 3, 1000, 10000};

        for (size_t s = 0; s < KB_ARRAY_SIZE(sizes); s++) {
                _cleanup_(kb_directory_freep) struct kb_directory *d = NULL;
                _cleanup_free_ uint8_t *data = NULL;
                struct kb_nss_view view;
                struct kb_nss_user user;
                struct kb_nss_group group;
                size_t size;

                make_crowd(&d, sizes[s]);
                assert_ok(kb_nss_image(d, 1, &data, &size));
                assert_ok(kb_nss_view_init(&view, KB_SPAN(data, size)));
                for (unsigned i = 0; i < sizes[s]; i++) {
                        char name[16];

                        snprintf(name, sizeof(name), "u%06u", i);
                        assert_int_equal(kb_nss_user_by_name(&view, name, &user), 1);
                        assert_int_equal(user.uid, KB_ID_MIN_DEFAULT + i);
                        assert_int_equal(kb_nss_user_gid(&view, &user, 0), KB_ID_MAX_DEFAULT);
                        assert_int_equal(kb_nss_user_by_id(&view, KB_ID_MIN_DEFAULT + i, &user), 1);
                        assert_string_equal(user.name, name);
                        assert_int_equal(kb_nss_group_by_id(&view, KB_ID_MIN_DEFAULT + i, &group), 1);
                        assert_string_equal(group.name, name);
                        snprintf(name, sizeof(name), "v%06u", i);
                        assert_int_equal(kb_nss_user_by_name(&view, name, &user), 0);
                }
                assert_int_equal(kb_nss_group_by_name(&view, "everybody", &group), 1);
                assert_int_equal(group.n_members, sizes[s]);
        }
}

/* --- whatever bytes there are --- */

struct tally {
        unsigned found, nobody, damaged;
};

static void count(struct tally *tally, int r)
{
        if (r != 1 && r != 0 && r != -EBADMSG)
                fail_msg("%d", r);
        tally->found += r == 1;
        tally->nobody += r == 0;
        tally->damaged += r == -EBADMSG;
}

/* Reads every byte that a caller would. */
static void look_at_user(struct kb_id_range range, const struct kb_nss_view *view, int r,
                         struct kb_nss_user *user)
{
        if (r != 1)
                return;
        assert_true(kb_id_in_range(range, user->uid));
        assert_true(strlen(user->name) + strlen(user->full_name) + strlen(user->home) + strlen(user->shell) <
                    user->text_size);
        for (uint32_t i = 0; i < user->n_gids; i++) {
                uint32_t gid = kb_nss_user_gid(view, user, i);

                assert_true(gid == 0 || kb_id_in_range(range, gid));
        }
}

static void look_at_group(struct kb_id_range range, int r, struct kb_nss_group *group)
{
        if (r != 1)
                return;
        assert_true(kb_id_in_range(range, group->gid));
        for (uint32_t i = 0; i < group->n_members; i++)
                if (kb_nss_group_member(group, i) < group->text_size)
                        assert_true(strlen(group->text + kb_nss_group_member(group, i)) < group->text_size);
}

static void look_everything_up(const uint8_t *data, size_t size, struct tally *tally)
{
        static const char *const names[] = {"ana", "ben", "carl", "ben-s", "empty", "zoo", "nobody", ""};
        static const uint32_t ids[] = {0, 70001, 70002, 70003, 80001, 80002, 80003, 99999, UINT32_MAX};
        struct kb_nss_view view;
        struct kb_nss_user user;
        struct kb_nss_group group;
        int r = kb_nss_view_init(&view, KB_SPAN(data, size));

        if (r < 0) {
                count(tally, r);
                return;
        }
        for (size_t i = 0; i < KB_ARRAY_SIZE(names); i++) {
                count(tally, r = kb_nss_user_by_name(&view, names[i], &user));
                look_at_user(view.range, &view, r, &user);
                assert_true(r != 1 || strcmp(user.name, names[i]) == 0);
                count(tally, r = kb_nss_group_by_name(&view, names[i], &group));
                look_at_group(view.range, r, &group);
                assert_true(r != 1 || strcmp(group.name, names[i]) == 0);
        }
        for (size_t i = 0; i < KB_ARRAY_SIZE(ids); i++) {
                count(tally, r = kb_nss_user_by_id(&view, ids[i], &user));
                look_at_user(view.range, &view, r, &user);
                assert_true(r != 1 || user.uid == ids[i]);
                count(tally, r = kb_nss_group_by_id(&view, ids[i], &group));
                look_at_group(view.range, r, &group);
                assert_true(r != 1 || group.gid == ids[i]);
        }
        for (uint32_t i = 0; i < 8; i++) {
                count(tally, r = kb_nss_user_at(&view, i, &user));
                look_at_user(view.range, &view, r, &user);
                count(tally, r = kb_nss_group_at(&view, i, &group));
                look_at_group(view.range, r, &group);
        }
}

/* In memory of exactly its size, so that one byte too far is seen by the sanitizer. */
static void look_everything_up_in_copy(const uint8_t *data, size_t size, struct tally *tally)
{
        _cleanup_free_ uint8_t *exact = malloc(size + (size == 0));

        assert_non_null(exact);
        memcpy(exact, data, size);
        look_everything_up(exact, size, tally);
}

static void any_changed_byte_is_survived_and_found_by_the_checksum(void **state)
{
        static const uint8_t changes[] = {0x01, 0x80, 0xff, 0x20};
        _cleanup_free_ uint8_t *data = NULL;
        struct tally tally = {};
        struct kb_nss_view view;
        size_t size;

        image_of(small, &data, &size);
        for (size_t i = 0; i < size; i++)
                for (size_t c = 0; c < KB_ARRAY_SIZE(changes); c++) {
                        data[i] ^= changes[c];
                        look_everything_up_in_copy(data, size, &tally);
                        if (kb_nss_view_init(&view, KB_SPAN(data, size)) == 0)
                                assert_false(kb_nss_view_intact(&view));
                        data[i] ^= changes[c];
                }
        assert_true(tally.found > 0 && tally.nobody > 0 && tally.damaged > 0);
}

static void a_file_cut_anywhere_is_refused(void **state)
{
        _cleanup_free_ uint8_t *data = NULL;
        size_t size;

        image_of(small, &data, &size);
        for (size_t n = 0; n < size; n++) {
                struct tally tally = {};

                look_everything_up_in_copy(data, n, &tally);
                assert_int_equal(tally.damaged, 1);
                assert_int_equal(tally.found + tally.nobody, 0);
        }
}

/* Cut, and its size field set right: now the sections have to notice. */
static void a_file_cut_anywhere_that_lies_about_its_size_is_survived(void **state)
{
        _cleanup_free_ uint8_t *data = NULL;
        struct tally tally = {};
        size_t size;

        image_of(small, &data, &size);
        for (size_t n = KB_NSS_HEADER_SIZE; n < size; n++) {
                for (unsigned i = 0; i < 8; i++)
                        data[KB_NSS_AT_SIZE + i] = (uint8_t)((uint64_t)n >> (8 * i));
                look_everything_up_in_copy(data, n, &tally);
        }
        assert_int_equal(tally.found, 0);
}

static void another_format_is_refused(void **state)
{
        _cleanup_free_ uint8_t *data = NULL;
        struct kb_nss_view view;
        size_t size;

        image_of(small, &data, &size);
        for (char version = '0'; version <= '9'; version++) {
                data[7] = (uint8_t)version;
                assert_int_equal(kb_nss_view_init(&view, KB_SPAN(data, size)),
                                 version == '1' ? 0 : -EBADMSG);
        }
}

static void a_range_that_reaches_root_is_refused(void **state)
{
        _cleanup_free_ uint8_t *data = NULL;
        struct kb_nss_view view;
        size_t size;

        image_of(small, &data, &size);
        memset(data + KB_NSS_AT_ID_MIN, 0, 4);
        assert_int_equal(kb_nss_view_init(&view, KB_SPAN(data, size)), -EBADMSG);
}

static void a_table_without_an_empty_slot_ends(void **state)
{
        _cleanup_free_ uint8_t *data = NULL;
        struct kb_nss_view view;
        struct kb_nss_user user;
        size_t size;

        image_of(small, &data, &size);
        assert_ok(kb_nss_view_init(&view, KB_SPAN(data, size)));
        memset((void *)view.section[KB_NSS_USER_NAMES].at, 0x55, 8 * view.section[KB_NSS_USER_NAMES].count);
        assert_int_equal(kb_nss_user_by_name(&view, "ana", &user), -EBADMSG);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_user_is_what_the_directory_says),
                cmocka_unit_test(a_group_is_what_the_directory_says_and_everybody_has_his_own),
                cmocka_unit_test(groups_are_sorted_with_everybodys_own_among_them),
                cmocka_unit_test(who_is_not_in_it_is_certainly_nobody),
                cmocka_unit_test(a_crowd_is_found_one_by_one),
                cmocka_unit_test(any_changed_byte_is_survived_and_found_by_the_checksum),
                cmocka_unit_test(a_file_cut_anywhere_is_refused),
                cmocka_unit_test(a_file_cut_anywhere_that_lies_about_its_size_is_survived),
                cmocka_unit_test(another_format_is_refused),
                cmocka_unit_test(a_range_that_reaches_root_is_refused),
                cmocka_unit_test(a_table_without_an_empty_slot_ends),
        };

        return cmocka_run_group_tests_name("nss-file", tests, NULL, NULL);
}
