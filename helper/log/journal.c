/* SPDX-License-Identifier: Apache-2.0 */
#include "helper/log/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Texts in the log are one line each (event.h), so the simple form of a field will do. */
static void add(struct kb_writer *w, const char *name, const char *value)
{
        kb_write_raw(w, KB_SPAN_STRING(name));
        kb_write_raw(w, KB_SPAN("=", 1));
        kb_write_raw(w, KB_SPAN_STRING(value));
        kb_write_raw(w, KB_SPAN("\n", 1));
}

static void add_number(struct kb_writer *w, const char *name, uint64_t value)
{
        char text[24];

        snprintf(text, sizeof(text), "%" PRIu64, value);
        add(w, name, text);
}

static void add_time(struct kb_writer *w, const char *name, uint64_t value)
{
        char text[KB_TIME_TEXT_MAX];

        kb_time_text(value, text);
        add(w, name, text);
}

static void add_field(struct kb_writer *w, const struct kb_event *event, const struct kb_field_info *field)
{
        const char *text = kb_event_text(event, field);
        uint64_t number = kb_event_number(event, field);

        if (text[0])
                add(w, field->journal, text);
        else if (number > 0 && field->kind == KB_FIELD_time)
                add_time(w, field->journal, number);
        else if (number > 0)
                add_number(w, field->journal, number);
}

void kb_journal_encode(struct kb_writer *w, const struct kb_log_identity *identity, uint64_t sequence,
                       const struct kb_event *event)
{
        const struct kb_event_info *info = kb_event_info(event->id);
        struct kb_published published;
        char message[2048];

        kb_event_publish(&published, identity, sequence, event);
        kb_event_message(&published.event, message, sizeof(message));
        add(w, "MESSAGE", message);
        if (info->message_id[0])
                add(w, "MESSAGE_ID", info->message_id);
        add_number(w, "PRIORITY", (uint64_t)info->priority);
        add(w, "SYSLOG_IDENTIFIER", "keybearer");
        add(w, "KEYBEARER_EVENT", info->word);
        add(w, "KEYBEARER_OUTCOME", info->outcome);
        add_time(w, "KEYBEARER_TIME", event->time);
        if (sequence > 0)
                add_number(w, "KEYBEARER_SEQ", sequence);
        published.event.log = identity->id; /* every entry says it, once */
        for (size_t i = 0; i < kb_field_table_size; i++)
                add_field(w, &published.event, &kb_field_table[i]);
}

int kb_journal_open(void)
{
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        return fd < 0 ? -errno : fd;
}

/* A descriptor of the entry in place of its bytes. */
static int send_in_memfd(int fd, struct msghdr *message, struct kb_span entry)
{
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(sizeof(int))];
        } control = {};
        _cleanup_close_ int memory = -1;
        struct cmsghdr *c;

        memory = memfd_create("keybearer-entry", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (memory < 0)
                return -errno;
        if (write(memory, entry.data, entry.size) != (ssize_t)entry.size)
                return -EIO;
        if (fcntl(memory, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
                return -errno;
        message->msg_iovlen = 0;
        message->msg_control = &control;
        message->msg_controllen = sizeof(control);
        c = CMSG_FIRSTHDR(message);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &memory, sizeof(int));
        return sendmsg(fd, message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int kb_journal_send(int fd, const char *path, struct kb_span entry)
{
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        struct iovec bytes = {.iov_base = (void *)entry.data, .iov_len = entry.size};
        struct msghdr message = {
                .msg_name = &address, .msg_namelen = sizeof(address), .msg_iov = &bytes, .msg_iovlen = 1};

        if (strlen(path) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        memcpy(address.sun_path, path, strlen(path));
        if (sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
                return 0;
        return errno == EMSGSIZE || errno == ENOBUFS ? send_in_memfd(fd, &message, entry) : -errno;
}
