/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usage: formats FOLDER
 *
 * Makes what test_formats.py reads: a log in FOLDER/log, published names in FOLDER/nss, and FOLDER/backup of
 * a store. Prints what only people have, each as "NAME: VALUE": the first key of the log, an anchor that was
 * kept, the secrets of the store's slots, the root key.
 */
#include "tests/unit/directory.h"
#include "tests/unit/store.h"

#include <err.h>
#include <fcntl.h>
#include <stdio.h>

#include "directory/nss_publish.h"
#include "helper/log/commit.h"
#include "helper/store/local/backup.h"
#include "helper/store/local/kv.h"
#include "helper/store/local/recovery_code.h"

static void must(int r, const char *what)
{
        if (r < 0)
                errx(1, "%s: %s", what, strerror(-r));
}

static void print_hex(const char *name, const uint8_t *bytes, size_t size)
{
        printf("%s: ", name);
        for (size_t i = 0; i < size; i++)
                printf("%02x", bytes[i]);
        putchar('\n');
}

/* --- a log --- */

static void write_one(struct kb_commit *c, const struct kb_event *event)
{
        _cleanup_writer_ struct kb_writer w = kb_writer_init(KB_RECORD_MAX);
        struct kb_log_entry entry = {.event = event->id, .time = TEST_NOW};
        struct kb_event complete = *event;

        kb_event_complete(&complete);
        kb_event_put(&w, &complete);
        entry.fields = KB_SPAN(w.data, w.size);
        must(kb_commit_write(c, (struct kb_log_entry *[]){&entry}, 1), "record");
}

static void make_log(const char *folder)
{
        static const struct kb_event events[] = {
                {.id = KB_EVENT_GRANT_ISSUED,
                 .unit = "orders.service",
                 .credential = "db",
                 .lease = "pki/7",
                 .pid = 71,
                 .issued = TEST_NOW,
                 .expires = KB_TIME_NEVER},
                {.id = KB_EVENT_ACCOUNT_REFUSED, .user = "ana", .service = "sshd", .reason = "no-rule"},
                {.id = KB_EVENT_LOGIN_REFUSED,
                 .user = "a\nb",
                 .service = "sshd",
                 .detail = "gr\xc3\xbc\xc3\x9f"},
                {.id = KB_EVENT_GRANT_REVOKED, .unit = "orders.service", .credential = "db", .grant = 2},
        };
        char first_key[KB_FIRST_KEY_MAX], line[KB_ANCHOR_LINE_MAX];
        struct kb_log_recovered found;
        struct kb_log_damage damage;
        struct kb_anchor anchor;
        struct kb_commit c;

        must(kb_log_create(folder, TEST_NOW, first_key), "log");
        must(kb_commit_open(&c, folder, &(struct kb_log_options){0}, TEST_NOW, &found, &damage), "log");
        for (size_t i = 0; i < KB_ARRAY_SIZE(events); i++) {
                write_one(&c, &events[i]);
                if (i != 1)
                        must(kb_commit_anchor(&c, TEST_NOW, &anchor), "anchor");
        }
        kb_anchor_format(&anchor, line);
        must(kb_commit_rotate(&c, TEST_NOW), "next file");
        write_one(&c, &events[0]);
        kb_commit_done(&c);
        printf("first-key: %s\nanchor: %s\n", first_key, line);
}

/* --- names --- */

static void make_names(const char *folder)
{
        static const struct item items[] = {
                {KB_RECORD_person, "ana", 70001, .full_name = "Ana", .home = "/home/ana",
                 .shell = "/bin/bash"},
                {KB_RECORD_person, "ben", 70002, .full_name = "", .home = "/srv/ben", .shell = "/bin/sh"},
                {KB_RECORD_person, "cyd", 70003, .full_name = "C. Y. D.", .home = "/", .shell = "/bin/zsh"},
                {KB_RECORD_group, "bees", 80002, .list = "ben"},
                {KB_RECORD_group, "dba", 80001, .list = "ana cyd"},
                {KB_RECORD_group, "empty", 80003},
                {},
        };
        _cleanup_writer_ struct kb_writer w = kb_writer_init(KB_DIRECTORY_SIZE_MAX);
        _cleanup_close_ int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        _cleanup_(kb_directory_freep) struct kb_directory *d = NULL;
        struct kb_directory_options options = {.range = TEST_RANGE};
        struct kb_refused refused;

        add_items(&w, items);
        must(kb_directory_load(&d, KB_SPAN(w.data, w.size), &options, &refused), "directory");
        must(fd < 0 ? -errno : kb_nss_publish(fd, d), "names");
        must(kb_nss_publish(fd, d), "names again");
}

/* --- a backup --- */

static void add_slot(struct kb_local *l, const char *kind, struct kb_span parameters, const uint8_t *seed)
{
        struct kb_slot slot = {.parameters = parameters, .created = TEST_NOW};

        snprintf(slot.name, sizeof(slot.name), "a-%s", kind);
        snprintf(slot.kind, sizeof(slot.kind), "%s", kind);
        if (kb_slot_add(l, &slot, seed, &test_problem) != KB_E_OK)
                errx(1, "%s", test_problem.text);
}

static void add_slots(struct kb_local *l)
{
        struct kb_slot_costs costs = {.salt = {1, 2, 3}, .passes = 2, .kib = 64, .lanes = 2};
        _cleanup_writer_ struct kb_writer parameters = kb_writer_init(256);
        uint8_t code[KB_RECOVERY_BYTES] = {0xfe, 0xdc, 0xba, 0x98, 0x76}, seed[KB_SLOT_SEED_SIZE];
        _cleanup_transaction_ struct kb_transaction t = {};
        char text[KB_RECOVERY_TEXT], kept[KB_SLOT_TEXT_MAX];

        must(kb_db_begin(l->db, &t), "slots");
        must(kb_recovery_print(code, text), "code");
        must(kb_slot_seed_recovery(KB_SPAN_STRING(text), seed), "code");
        add_slot(l, "recovery", KB_SPAN("", 0), seed);
        kb_slot_costs_put(&parameters, &costs);
        must(kb_slot_seed_passphrase(KB_SPAN_STRING("several long words"), &costs, seed), "passphrase");
        add_slot(l, "passphrase", KB_SPAN(parameters.data, parameters.size), seed);
        must(kb_db_commit(&t), "slots");
        kb_slot_text("test", test_seed, kept);
        printf("recovery: %s\npassphrase: several long words\nsystemd: %s\n", text, kept);
}

/* More than a piece. */
static void fill(struct kb_local *l)
{
        static char large[KB_BACKUP_PIECE / 2];
        _cleanup_list_ struct kb_list_builder b = {};
        uint64_t version = 0;

        memset(large, 'x', sizeof(large) - 1);
        while (version < 5)
                if (kb_kv_put(l, "kv/large", pairs_of(&b, "value", large, NULL), KB_KV_ANY, TEST_NOW,
                              &version, &test_problem) != KB_E_OK)
                        errx(1, "%s", test_problem.text);
}

static void make_backup(const char *folder, const char *file)
{
        _cleanup_store_ struct kb_local *l = store_make(folder);
        _cleanup_(kb_backup_freep) struct kb_backup *b = NULL;
        _cleanup_writer_ struct kb_writer out = kb_writer_init(64 * KB_BACKUP_PIECE);
        _cleanup_fclose_ FILE *f = fopen(file, "we");
        uint64_t done, total;
        int r;

        add_slots(l);
        fill(l);
        print_hex("root-key", kb_keyring_root(l->keys, 1), KB_KEY_SIZE);
        printf("id: %s\nchanges: %llu\n", l->identity.id, (unsigned long long)l->identity.changes);
        must(kb_backup_new(&b, l, TEST_NOW), "backup");
        while ((r = kb_backup_step(b, &out, &done, &total)) > 0)
                ;
        must(r, "backup");
        if (!f || fwrite(out.data, out.size, 1, f) != 1)
                err(1, "%s", file);
}

int main(int argc, char **argv)
{
        static const char *const names[] = {"log", "nss", "store", "backup"};
        char path[KB_ARRAY_SIZE(names)][4096];

        if (argc != 2)
                errx(2, "usage: formats FOLDER");
        for (size_t i = 0; i < KB_ARRAY_SIZE(names); i++) {
                snprintf(path[i], sizeof(path[i]), "%s/%s", argv[1], names[i]);
                if (i < 3 && mkdir(path[i], 0700) < 0)
                        err(1, "%s", path[i]);
        }
        make_log(path[0]);
        make_names(path[1]);
        make_backup(path[2], path[3]);
        return 0;
}
