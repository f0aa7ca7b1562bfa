/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What libraries give back to malloc(3) holds no secret of a server any more. All that is freed in this
 * program, also by shared libraries, comes by here first; realloc() always moves, so that what it leaves
 * behind is seen, too.
 */
#include "tests/unit/test.h"

#include <malloc.h>
#include <string.h>

#include "helper/store/vault/json.h"

#define SECRET "hvs.hunter2-hunter2"

static volatile bool watching;
static volatile unsigned freed, found;

void __libc_free(void *p);

_export_ void free(void *p)
{
        if (p && watching) {
                freed++;
                found += memmem(p, malloc_usable_size(p), SECRET, strlen(SECRET)) ? 1 : 0;
        }
        __libc_free(p);
}

_export_ void *realloc(void *p, size_t size)
{
        void *moved = malloc(size);

        if (moved && p) {
                size_t old = malloc_usable_size(p);

                memcpy(moved, p, old < size ? old : size);
                free(p);
        }
        return moved;
}
static void the_watch_sees_what_is_freed_and_what_is_moved(void **state)
{
        char *text = strdup("xx" SECRET);

        found = 0;
        watching = true;
        text = realloc(text, 1000);
        free(text);
        watching = false;
        assert_int_equal(found, 2);
}

static void a_document_leaves_nothing_in_freed_memory(void **state)
{
        static const char *const documents[] = {
                "{\"auth\":{\"client_token\":\"" SECRET "\",\"accessor\":\"a\"}}",
                "[1,[\"" SECRET "\",\"\\u0041" SECRET
                "\"],{\"a\":{\"b\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx" SECRET "\"}}]",
                "\"" SECRET "\"",
        };

        for (size_t i = 0; i < KB_ARRAY_SIZE(documents); i++) {
                _cleanup_writer_ struct kb_writer w = kb_writer_init(4096);
                struct kb_json *json = NULL;
                int r;

                found = freed = 0;
                watching = true;
                r = kb_json_parse(KB_SPAN_STRING(documents[i]), &json);
                assert_ok(r);
                assert_ok(kb_json_write(kb_json_root(json), &w));
                kb_json_free(json);
                kb_writer_done(&w);
                watching = false;
                assert_true(freed > 2);
                if (found > 0)
                        fail_msg("%u of %u pieces still held it: %s", found, freed, documents[i]);
        }
}
int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_watch_sees_what_is_freed_and_what_is_moved),
                cmocka_unit_test(a_document_leaves_nothing_in_freed_memory),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
