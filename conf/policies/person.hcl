# SPDX-License-Identifier: Apache-2.0
# What a person may do in OpenBao or Vault with the token of a login. The person's entity is called as the person is.
#
#   bao policy write keybearer-person /usr/share/keybearer/policies/person.hcl

# the token ends with the last session
path "auth/token/revoke-self" {
  capabilities = ["update"]
}

# the person's own password, and nobody else's
path "auth/userpass/users/{{identity.entity.name}}/password" {
  capabilities = ["update"]
}

# secrets that are kept for this person alone
path "kv/data/people/{{identity.entity.name}}/*" {
  capabilities = ["read"]
}
