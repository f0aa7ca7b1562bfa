# SPDX-License-Identifier: Apache-2.0
"""A real OpenBao, one node or several, over TLS, with raft on disk and a seal that opens by itself.

    bao = OpenBao(servers, "one", "10.77.0.11")
    bao.write("sys/mounts/kv", type="kv", options={"version": "2"})
    bao.write("kv/data/app", data={"key": "value"})
    bao.read("kv/data/app")["data"]["key"]

Nodes are services of the servers' machine, `bao@NAME-N`. The root token stays with the test. What is set up in a
server, engines.py knows.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from authority import Authority, Certificate
from machine import Machine, MachineError, Run, tree, wait_for
from network import Network

HERE = Path(__file__).resolve().parent
PORT = 8200
SHARED = "10.77.0.2"  # the servers' machine; the database and the directory service listen here
NODES = {"one": ("10.77.0.11",), "three": ("10.77.0.21", "10.77.0.22", "10.77.0.23")}

UNIT = """\
[Service]
Type=exec
ExecStart=/usr/local/bin/bao server -config=/etc/bao/%i.hcl
LimitCORE=0
TimeoutStopSec=10
"""

CONFIG = """\
ui = false
disable_mlock = true
api_addr = "https://{address}:8200"
cluster_addr = "https://{address}:8201"
enable_response_header_raft_node_id = true
seal "static" {{
  current_key_id = "test-1"
  current_key = "file:///etc/bao/seal.key"
}}
listener "tcp" {{
  address = "{address}:8200"
  cluster_address = "{address}:8201"
  tls_cert_file = "/etc/bao/{node}.pem"
  tls_key_file = "/etc/bao/{node}.key"
}}
storage "raft" {{
  path = "/var/lib/bao/{node}"
  node_id = "{node}"
  performance_multiplier = 1
  autopilot_reconcile_interval = "500ms"
  autopilot_update_interval = "500ms"
{joins}}}
"""

JOIN = """\
  retry_join {{
    leader_api_addr = "https://{address}:8200"
    leader_ca_cert_file = "/etc/bao/ca.pem"
  }}
"""


def layer() -> Path:
    """The folder that has the server, made now if it is not in the cache: to lay a machine over."""
    made = subprocess.run([HERE / "make-server"], stdout=subprocess.PIPE, text=True)
    if made.returncode:
        raise MachineError("no OpenBao")
    return Path(made.stdout.strip())


@dataclass(frozen=True)
class Servers:
    """The machine in which servers run, how to reach it, and who they are trusted by."""

    machine: Machine
    network: Network
    authority: Authority

    @classmethod
    def boot(cls, run: Run, network: Network) -> Servers:
        """Boots it; nothing runs in it yet."""
        plug = network.plug(SHARED, *(address for addresses in NODES.values() for address in addresses))
        machine = run.machine(layer(), tree("trixie", "servers"), plug=plug)
        authority = Authority(run.folder / "authority")
        machine.write("/etc/systemd/system/bao@.service", UNIT)
        machine.copy_in(authority.file, "/etc/bao/ca.pem")
        machine.write("/etc/bao/seal.key", os.urandom(32), 0o600)
        machine.run("mkdir -p /var/lib/bao && systemctl daemon-reload")
        return cls(machine, network, authority)


@dataclass(frozen=True)
class Answer:
    """What a server said: its status, its headers (in small letters), its JSON."""

    status: int
    headers: Mapping[str, str]
    body: Any


class Refused(Exception):
    """An answer that is no success."""

    def __init__(self, path: str, answer: Answer) -> None:
        super().__init__(f"{path}: {answer.status} {answer.body}")
        self.answer = answer


class OpenBao:
    """A cluster of as many nodes as it has addresses, and its root token."""

    def __init__(self, servers: Servers, name: str) -> None:
        self.servers = servers
        self.addresses = NODES[name]
        self.nodes = [f"{name}-{number + 1}" for number in range(len(self.addresses))]
        self.token = ""

    # life

    def start(self) -> OpenBao:
        """Starts all nodes, makes them a cluster, and returns when all of them have a vote."""
        first, *others = self.nodes
        for node, address in zip(self.nodes, self.addresses):
            self._configure(node, address)
        self.launch(first)
        self._wait(lambda: self.ask("GET", "sys/seal-status").status == 200, "the first node")
        answer = self.ask("POST", "sys/init", {"recovery_shares": 1, "recovery_threshold": 1})
        self.token = answer.body["root_token"]
        self._wait(lambda: self.state(first) == "active", "an active node")
        # a newcomer has a vote as soon as it keeps up, and not ten seconds later
        self.call("POST", "sys/storage/raft/autopilot/configuration", {"server_stabilization_time": "1s"}, node=first)
        for node in others:
            self.launch(node)
        self._wait(lambda: self.voters() == set(self.nodes), "votes of all nodes")
        return self

    def _configure(self, node: str, address: str) -> None:
        machine = self.servers.machine
        joins = "".join(JOIN.format(address=each) for each in self.addresses) if len(self.addresses) > 1 else ""
        machine.write(f"/etc/bao/{node}.hcl", CONFIG.format(node=node, address=address, joins=joins))
        self._show(node, self.servers.authority.certificate(f"{node}.test", address))
        machine.run(["mkdir", "-p", f"/var/lib/bao/{node}"])

    def _show(self, node: str, certificate: Certificate) -> None:
        self.servers.machine.copy_in(certificate.certificate, f"/etc/bao/{node}.pem")
        self.servers.machine.copy_in(certificate.key, f"/etc/bao/{node}.key", 0o600)

    def launch(self, node: str) -> None:
        """Starts a node; it unseals itself."""
        self.servers.machine.run(["systemctl", "start", f"bao@{node}"])

    def kill(self, node: str) -> None:
        """Ends a node at once, as a crash does."""
        self.servers.machine.run(["systemctl", "kill", "--signal=KILL", f"bao@{node}"])
        self.servers.machine.run(["systemctl", "reset-failed", f"bao@{node}"], check=False)

    def seal(self) -> None:
        """Seals the active node, which stays so until it is started again."""
        self.write("sys/seal")

    def roll(self, node: str, certificate: Certificate) -> None:
        """Gives a running node another certificate."""
        self._show(node, certificate)
        self.servers.machine.run(["systemctl", "kill", "--signal=HUP", f"bao@{node}"])

    def restart(self, node: str) -> None:
        """Ends a node in good order and starts it again: unseals one that was sealed."""
        self.servers.machine.run(["systemctl", "restart", f"bao@{node}"])

    def remove(self) -> None:
        """Ends all nodes and forgets what they kept."""
        for node in self.nodes:
            self.kill(node)
            self.servers.machine.run(["rm", "-r", f"/var/lib/bao/{node}"])

    def state(self, node: str) -> str:
        """active, standby, sealed, or down."""
        try:
            status = self.ask("GET", "sys/health", node=node).status
        except OSError:
            return "down"
        return {200: "active", 429: "standby", 501: "not initialized", 503: "sealed"}.get(status, str(status))

    def active(self, timeout: float = 30) -> str:
        """The node that serves, waited for."""
        serving = lambda: [node for node in self.nodes if self.state(node) == "active"]
        return str(self._wait(serving, "an active node", timeout)[0])

    def wait_for_standby(self, node: str) -> None:
        """Returns when a node that was away follows the leader again."""
        self._wait(lambda: self.state(node) in ("standby", "active"), f"{node} to be back")

    def voters(self) -> set[str]:
        """Names of the nodes that have a vote."""
        answer = self.ask("GET", "sys/storage/raft/configuration")
        if answer.status != 200:
            return set()
        return {each["node_id"] for each in answer.body["data"]["config"]["servers"] if each["voter"]}

    def _wait(self, condition: Any, what: str, timeout: float = 60) -> Any:
        def tried() -> Any:
            try:
                return condition()
            except OSError:
                return None

        try:
            return wait_for(tried, timeout, what)
        except MachineError as late:
            said = "\n".join(self.servers.machine.messages(f"bao@{node}")[-2000:] for node in self.nodes)
            raise MachineError(f"{late}\n{said}") from None

    # requests

    def ask(self, method: str, path: str, body: Any = None, token: str | None = None, node: str = "",
            headers: Mapping[str, str] = {}, certificate: Certificate | None = None) -> Answer:
        """One request, with the root token unless another one is given ("" is none), to the first node or to `node`."""
        address = self.addresses[self.nodes.index(node) if node else 0]
        sent = {"X-Vault-Request": "true", **headers}
        token = self.token if token is None else token
        if token:
            sent["X-Vault-Token"] = token
        connection = http.client.HTTPConnection(address, PORT)
        plain = self.servers.network.connect(address, PORT, timeout=60)
        connection.sock = self.servers.authority.client(certificate).wrap_socket(plain, server_hostname=address)
        try:
            connection.request(method, f"/v1/{path}", json.dumps(body) if body is not None else None, sent)
            response = connection.getresponse()
            text = response.read()
            lower = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, lower, json.loads(text) if text else None)
        except http.client.HTTPException as error:
            raise OSError(str(error)) from error
        finally:
            connection.close()

    def call(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """The same at the active node, and what it said; Refused when it is no success."""
        if len(self.nodes) > 1:
            options.setdefault("node", self.active())
        answer = self.ask(method, path, body, **options)
        if answer.status >= 300:
            raise Refused(path, answer)
        return answer.body

    def write(self, path: str, /, **body: Any) -> Any:
        """POST these fields: the data that came back, or the login, or the whole answer."""
        answer = self.call("POST", path, body)
        return (answer.get("data") or answer.get("auth") or answer) if answer else None

    def read(self, path: str) -> Any:
        """GET: the data."""
        return self.call("GET", path)["data"]

    def names(self, path: str) -> list[str]:
        """LIST: the names there, none if there is no such folder."""
        answer = self.ask("LIST", path) if len(self.nodes) == 1 else self.ask("LIST", path, node=self.active())
        if answer.status == 404:
            return []
        if answer.status != 200:
            raise Refused(path, answer)
        found: list[str] = answer.body["data"]["keys"]
        return found

    # what it has handed out

    def leases(self, prefix: str) -> list[str]:
        """Ids of all leases under a prefix, as the server itself lists them."""
        return sorted(self._leases(prefix.rstrip("/") + "/"))

    def _leases(self, folder: str) -> Iterator[str]:
        for name in self.names(f"sys/leases/lookup/{folder}"):
            if name.endswith("/"):
                yield from self._leases(folder + name)
            else:
                yield folder + name

    def tokens(self) -> dict[str, Any]:
        """Every token but the root's: accessor, and what the server knows of it."""
        found = {}
        for accessor in self.names("auth/token/accessors"):
            answer = self.ask("POST", "auth/token/lookup-accessor", {"accessor": accessor}, node=self.active())
            if answer.status == 200 and answer.body["data"]["policies"] != ["root"]:
                found[accessor] = answer.body["data"]
        return found

    # who may do what

    def policy(self, name: str, rules: Mapping[str, Sequence[str]]) -> None:
        """Writes a policy: path -> capabilities."""
        text = "".join(f'path "{path}" {{ capabilities = {json.dumps(list(caps))} }}\n' for path, caps in rules.items())
        self.write(f"sys/policies/acl/{name}", policy=text)


class Namespace(OpenBao):
    """A namespace of its own in a server: every path can be what it is in the documents, whoever else uses the server."""

    def __init__(self, server: OpenBao, name: str) -> None:
        self.__dict__.update(server.__dict__)
        self.server = server
        self.name = name
        server.write(f"sys/namespaces/{name}")

    def ask(self, method: str, path: str, body: Any = None, token: str | None = None, node: str = "",
            headers: Mapping[str, str] = {}, certificate: Certificate | None = None) -> Answer:
        """The same, inside."""
        return super().ask(method, path, body, token, node, {"X-Vault-Namespace": self.name, **headers}, certificate)

    def active(self, timeout: float = 30) -> str:
        """The node that serves."""
        return self.server.active(timeout)
