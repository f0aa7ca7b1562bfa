/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The credential sockets that PID 1 connects to for LoadCredentialEncrypted= (encrypted.sock) and
 * LoadCredential= (plain.sock). There is no request to read, and no way to say no: the peer's name is the
 * request, and whatever is sent until we close is the answer.
 *
 * On encrypted.sock the answer is a systemd credential bound to this host, this name and these minutes. A
 * refusal is an empty answer, which systemd cannot decrypt; cut and doubled answers fail the same way.
 *
 * On plain.sock the answer is the secret. A refusal is 1 MiB, which is more than systemd takes. A broker
 * that is killed in the middle can leave a cut secret there: that is why it is opt-in.
 *
 * Both refusals fail the unit's start with 243/CREDENTIALS; why is in the log and in the unit's own status.
 */

#include <systemd/sd-event.h>

#include "common/cleanup.h"

struct kb_broker;
struct kb_unit_socket;

enum kb_unit_socket_kind { KB_UNIT_SOCKET_ENCRYPTED, KB_UNIT_SOCKET_PLAIN };

/* Takes over fd, a listening socket. */
int kb_unit_socket_new(struct kb_unit_socket **ret, struct kb_broker *broker, int fd,
                       enum kb_unit_socket_kind kind);
void kb_unit_socket_stop_accepting(struct kb_unit_socket *s);
unsigned kb_unit_socket_pending(const struct kb_unit_socket *s);
void kb_unit_socket_free(struct kb_unit_socket *s);
KB_DEFINE_CLEANUP(struct kb_unit_socket, kb_unit_socket_free);
