# SPDX-License-Identifier: Apache-2.0
# What an administrator of Keybearer may do in OpenBao or Vault: let hosts in and out, and write the directory. Policies,
# roles and mounts are made by who administers the cluster: whoever could write a role could give a host any policy.
#
#   bao policy write keybearer-admin /usr/share/keybearer/policies/admin.hcl

# A host is let in by a SecretID of its role. Nobody sees it but the host: it is wrapped, for an hour at most. Its
# metadata name the host, in each token that comes of it.
path "auth/approle/role/+/role-id" {
  capabilities = ["read"]
}
path "auth/approle/role/+/secret-id" {
  capabilities        = ["update"]
  required_parameters = ["metadata"]
  min_wrapping_ttl    = "1s"
  max_wrapping_ttl    = "1h"
}

# A host or a person is let out: no login any more, and no token is worth anything. Nothing else of an entity can be
# changed: least of all its policies.
path "identity/entity/name/+" {
  capabilities       = ["update"]
  allowed_parameters = {
    "disabled" = []
  }
}

# One token ends, with everything that was made with it.
path "auth/token/lookup-accessor" {
  capabilities = ["update"]
}
path "auth/token/revoke-accessor" {
  capabilities = ["update"]
}

# people, groups and rules of the cluster, which are signed before they are laid there
path "kv/data/keybearer/directory/*" {
  capabilities = ["create", "read", "update"]
}
