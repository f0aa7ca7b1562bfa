# SPDX-License-Identifier: Apache-2.0
# What one host may do in OpenBao or Vault, whatever its services need beside that. The host's entity is called as the
# host is.
#
#   bao policy write keybearer-host /usr/share/keybearer/policies/host.hcl

# its own token: whether it lives, and that it goes on living
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
path "auth/token/renew-self" {
  capabilities = ["update"]
}

# keybearer doctor: which line is missing here
path "sys/capabilities-self" {
  capabilities = ["update"]
}

# the life of the leases that it was given; nobody guesses the name of another one
path "sys/leases/renew" {
  capabilities = ["update"]
}
path "sys/leases/revoke" {
  capabilities = ["update"]
}

# secrets that are kept for this host alone
path "kv/data/hosts/{{identity.entity.name}}/*" {
  capabilities = ["read"]
}

# people, groups and rules of the cluster, which it takes only when they are signed
path "kv/data/keybearer/directory/*" {
  capabilities = ["read"]
}

# What its services need is a policy beside this one, for each role of host. A line for each credential:
#
#   path "kv/data/orders"         { capabilities = ["read"] }
#   path "database/creds/orders"  { capabilities = ["read"] }
#   path "pki/issue/web"          { capabilities = ["update"] }
#   path "ssh/sign/host"          { capabilities = ["update"] }
