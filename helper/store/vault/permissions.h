/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a server's policies have to let this host do, and whether they do: for one path of a credential, or,
 * without a path, for the host itself. The server is asked with the host's own token
 * (sys/capabilities-self), so nobody has to guess what its policies come to.
 */

#include "helper/store/vault/engines.h"

/* For whom: a credential's Path= and Method=, or the host itself, with the folder of its directory. */
struct kb_permissions_of {
        const char *path, *method; /* "": the host; "": none */
        const char *mount,
                *folder; /* of the directory, as in [Directory]; NULL: it has none from this store */
};

/*
 * Answers `policy show` of store_admin, now or later: a row for each line, with `path` and `capability` as a
 * policy has them, and `granted` (yes, no).
 * What a mount is, the server tells only to who may do something there. When it does not, the names of the
 * path have to do: without any that we know it is a kept secret of a mount of version 2.
 */
void kb_engines_permissions(struct kb_engines *e, struct kb_request *request,
                            const struct kb_permissions_of *of);

void kb_permissions_free(struct kb_engines *e); /* those under way get no answer */
