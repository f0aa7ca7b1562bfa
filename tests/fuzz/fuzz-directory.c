/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The document of a store. What is accepted must hold together: everybody is found, has an id of his own in
 * the range, and may be decided about; and the names made of it say the same.
 */
#include <string.h>

#include "common/clock.h"
#include "directory/decide.h"
#include "directory/nss_image.h"
#include "directory/nss_view.h"
#include "tests/fuzz/fuzz.h"

static const struct kb_id_range range = {KB_ID_MIN_DEFAULT, KB_ID_MAX_DEFAULT};

static void decide_about(const struct kb_directory *d, const struct kb_person *person)
{
        struct kb_access access = {
                .user = person->record.name,
                .host = "db1",
                .service = "sshd",
                .now = 1000,
                .directory_until = KB_TIME_NEVER,
        };
        struct kb_decision with_all, with_none;

        kb_decide(d, &access, &with_none);
        access.factors = KB_FACTOR_ALL;
        kb_decide(d, &access, &with_all);
        FUZZ_ASSERT(with_all.permit || !with_none.permit);
        FUZZ_ASSERT(with_all.reason != KB_REASON_FACTOR_MISSING && with_all.reason != KB_REASON_UNKNOWN);
        FUZZ_ASSERT(!with_all.permit || with_all.valid_until > access.now);
}

static void compare_user(const struct kb_nss_view *view, const struct kb_person *person)
{
        struct kb_nss_user user, same;
        struct kb_nss_group group;

        FUZZ_ASSERT(kb_nss_user_by_name(view, person->record.name, &user) == 1);
        FUZZ_ASSERT(kb_nss_user_by_id(view, person->record.uid, &same) == 1 && same.text == user.text);
        FUZZ_ASSERT(kb_nss_group_by_id(view, person->record.uid, &group) == 1 && group.text == user.text);
        FUZZ_ASSERT(strcmp(user.home, person->record.home) == 0);
        FUZZ_ASSERT(strcmp(user.shell, person->record.shell) == 0);
        FUZZ_ASSERT(user.n_gids == person->groups.count);
}

static void compare_names(const struct kb_directory *d)
{
        _cleanup_free_ uint8_t *data = NULL;
        const struct kb_person *people;
        const struct kb_group *groups;
        size_t n_people = kb_directory_people(d, &people), n_groups = kb_directory_groups(d, &groups), size;
        struct kb_nss_group group;
        struct kb_nss_view view;

        if (kb_nss_image(d, 1, &data, &size) < 0)
                return;
        FUZZ_ASSERT(kb_nss_view_init(&view, KB_SPAN(data, size)) == 0 && kb_nss_view_intact(&view));
        for (size_t i = 0; i < n_people; i++)
                compare_user(&view, &people[i]);
        for (size_t i = 0; i < n_groups; i++) {
                FUZZ_ASSERT(kb_nss_group_by_name(&view, groups[i].name, &group) == 1);
                FUZZ_ASSERT(group.gid == groups[i].gid && group.n_members == groups[i].members.count);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        _cleanup_(kb_directory_freep) struct kb_directory *d = NULL;
        struct kb_directory_options options = {.range = range};
        struct kb_refused refused = {};
        const struct kb_person *people;
        char text[256];
        size_t n;

        if (kb_directory_load(&d, KB_SPAN(data, size), &options, &refused) < 0) {
                kb_refused_format(&refused, text, sizeof(text));
                FUZZ_ASSERT(kb_text_valid(text));
                return 0;
        }
        n = kb_directory_people(d, &people);
        for (size_t i = 0; i < n; i++) {
                FUZZ_ASSERT(kb_directory_person(d, people[i].record.name) == &people[i]);
                FUZZ_ASSERT(kb_id_in_range(range, people[i].record.uid));
                decide_about(d, &people[i]);
        }
        compare_names(d);
        return 0;
}
