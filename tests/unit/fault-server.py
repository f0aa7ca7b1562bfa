#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Servers that fail as a real one cannot be made to: for the tests of what speaks to OpenBao.

usage: fault-server.py FOLDER NODES

Makes certificates in FOLDER and listens on one port of the loopback for each node; prints the ports. Then it obeys the
lines of its stdin, each with a line for an answer:

  NODE BEHAVIOUR [ARGUMENT]   what that node does from now on: a function do_BEHAVIOUR below
  NODE count                  requests that came since the last `forget`
  NODE connections            connections that were made
  NODE last                   the last request
  NODE forget                 starts counting anew
"""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import cast


class Request:
    """One request, as far as we care."""

    def __init__(self, head: bytes, body: bytes) -> None:
        lines = head.decode().split("\r\n")
        self.method, self.path, _ = lines[0].split(" ")
        self.headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
        self.exact = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
        self.body = body.decode()

    def line(self) -> str:
        names = {"token": "X-Vault-Token", "mfa": "X-Vault-MFA", "namespace": "X-Vault-Namespace", "wrap": "X-Vault-Wrap-TTL", "type": "Content-Type", "request": "X-Vault-Request", "here": "X-Vault-No-Request-Forwarding"}
        fields = [f"{short}={self.exact[name]}" for short, name in names.items() if name in self.exact]
        return " ".join([self.method, self.path, *fields] + ([f"body={self.body}"] if self.body else []))


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def certificate(folder: Path, name: str, issuer: str, extension: str) -> None:
    """NAME.pem (certificate) and NAME.key; issued by itself when NAME is the issuer."""
    openssl(folder, "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
    (folder / f"{name}.ext").write_text(extension)
    signer = ["-signkey", f"{name}.key"] if name == issuer else ["-CA", f"{issuer}.pem", "-CAkey", f"{issuer}.key", "-CAcreateserial"]
    openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-out", f"{name}.pem", "-days", "2", "-extfile", f"{name}.ext", *signer)
    (folder / f"{name}.key").chmod(0o600)


def end(folder: Path, name: str, issuer: str) -> None:
    """NAME.pem anew, over since years: openssl-x509(1) of Debian 13 takes no negative -days any more."""
    (folder / "index").write_text("")
    (folder / "ca.cnf").write_text("[ca]\ndefault_ca=c\n[c]\ndatabase=index\nnew_certs_dir=.\nrand_serial=yes\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n")
    signer = ["-cert", f"{issuer}.pem", "-keyfile", f"{issuer}.key"]
    openssl(folder, "ca", "-batch", "-notext", "-config", "ca.cnf", *signer, "-in", f"{name}.csr", "-out", f"{name}.pem",
            "-extfile", f"{name}.ext", "-startdate", "20200101000000Z", "-enddate", "20200102000000Z")


def certificates(folder: Path) -> None:
    for authority in ("ca", "other-ca"):
        certificate(folder, authority, authority, "basicConstraints=critical,CA:TRUE\n")
    certificate(folder, "server", "ca", "subjectAltName=IP:127.0.0.1,DNS:bao.example\n")
    certificate(folder, "wrong-name", "ca", "subjectAltName=DNS:other.example\n")
    certificate(folder, "stranger", "other-ca", "subjectAltName=IP:127.0.0.1\n")
    certificate(folder, "ended", "ca", "subjectAltName=IP:127.0.0.1\n")
    end(folder, "ended", "ca")
    certificate(folder, "host-1", "ca", "extendedKeyUsage=clientAuth\n")
    certificate(folder, "host-2", "ca", "extendedKeyUsage=clientAuth\n")


class Node:
    """One listening socket and what it does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.behaviour, self.argument = "ok", ""
        self.count, self.connections, self.last = 0, 0, ""
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.fillers: list[socket.socket] = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                time.sleep(0.02)
                continue
            self.connections += 1
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        name = self.argument if self.behaviour == "certificate" else "server"
        context.load_cert_chain(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        if self.behaviour == "tls12":
            context.maximum_version = ssl.TLSVersion.TLSv1_2
        if self.behaviour == "client":
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.folder / "ca.pem")
        return context

    def serve(self, raw: socket.socket) -> None:
        """A connection: TLS unless the behaviour is one of what comes before it."""
        try:
            before = getattr(self, f"before_{self.behaviour}", None)
            if before:
                before(raw)
                return
            with self.context().wrap_socket(raw, server_side=True) as connection:
                while True:
                    request = self.read(connection)
                    if request is None:
                        return
                    self.count += 1
                    self.last = request.line()
                    peer = cast("dict[str, tuple[tuple[tuple[str, str], ...], ...]]", connection.getpeercert() or {})
                    name = dict(pair for part in peer.get("subject", ()) for pair in part).get("commonName", "")
                    getattr(self, f"do_{self.behaviour}")(connection, request, name)
        except (OSError, ValueError):
            pass
        finally:
            raw.close()

    def read(self, connection: ssl.SSLSocket) -> Request | None:
        data = b""
        while b"\r\n\r\n" not in data:
            more = connection.recv(65536)
            if not more:
                return None
            data += more
        head, body = data.split(b"\r\n\r\n", 1)
        size = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0)
        while len(body) < size:
            body += connection.recv(65536)
        return Request(head, body)

    @staticmethod
    def answer(connection: ssl.SSLSocket, status: int, body: str, *headers: str) -> None:
        lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body.encode())}", *headers]
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n" + body).encode())

    # ---- instead of TLS ----

    def before_stall_tls(self, raw: socket.socket) -> None:
        time.sleep(60)

    def before_plain(self, raw: socket.socket) -> None:
        raw.sendall(b"SSH-2.0-OpenSSH_9.2\r\n" * 10)

    def before_hang_up(self, raw: socket.socket) -> None:
        raw.recv(1)

    # ---- instead of an answer, or as one ----

    def do_ok(self, connection: ssl.SSLSocket, request: Request, name: str) -> None:
        self.answer(connection, 200, json.dumps({"data": {"port": self.port, "request": request.line(), "client": name}}) + "\n")

    do_tls12 = do_client = do_certificate = do_ok

    def do_status(self, connection: ssl.SSLSocket, request: Request, name: str) -> None:
        """ARGUMENT: STATUS [Header:value ...] [BODY]"""
        status, *rest = self.argument.split(" ")
        headers = []
        while rest and ":" in rest[0] and not rest[0].startswith("{"):
            headers.append(rest.pop(0).replace(":", ": ", 1))
        self.answer(connection, int(status), " ".join(rest), *headers)

    def do_stall(self, connection: ssl.SSLSocket, request: Request, name: str) -> None:
        time.sleep(60)

    def do_close(self, connection: ssl.SSLSocket, request: Request, name: str) -> None:
        raise OSError

    def do_second_close(self, connection: ssl.SSLSocket, request: Request, name: str) -> None:
        """The first request of a connection is answered; the second one kills it."""
        self.do_ok(connection, request, name)
        if self.read(connection):
            self.count += 1
        raise OSError

    def do_garbage(self, connection: ssl.SSLSocket, request: Request, name: str) -> None:
        connection.sendall(b"\x00\x01\x02 what is this\r\n" * 100)
        raise OSError

    def do_large(self, connection: ssl.SSLSocket, request: Request, name: str) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n")
        time.sleep(60)

    def do_endless(self, connection: ssl.SSLSocket, request: Request, name: str) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        for _ in range(1600):
            connection.sendall(b"x" * 65536)

    def do_headers(self, connection: ssl.SSLSocket, request: Request, name: str) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            connection.sendall(b"X-Endless: " + b"x" * 1000 + b"\r\n")

    def do_line(self, connection: ssl.SSLSocket, request: Request, name: str) -> None:
        """One header that never ends."""
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Endless: ")
        while True:
            connection.sendall(b"x" * 1000)

    def do_drip(self, connection: ssl.SSLSocket, request: Request, name: str) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(1000):
            connection.sendall(b" ")
            time.sleep(0.1)

    def do_cut(self, connection: ssl.SSLSocket, request: Request, name: str) -> None:
        connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"data":')
        raise OSError

    # ---- the listening socket itself ----

    def listen_down(self) -> None:
        for filler in self.fillers:
            filler.close()
        self.fillers = []
        try:
            self.listener.shutdown(socket.SHUT_RDWR)  # else accept() holds it
        except OSError:
            pass
        self.listener.close()

    def listen_full(self) -> None:
        """Nobody accepts, and the queue is full: who connects hears nothing at all."""
        self.listen_down()
        self.fillers = [socket.create_server(("127.0.0.1", self.port), backlog=0)]
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.port))
            self.fillers.append(filler)

    def listen_up(self) -> None:
        self.listen_down()
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=64)

    def obey(self, word: str, argument: str) -> str:
        if word in ("count", "connections", "last"):
            return str(getattr(self, word))
        if word == "forget":
            self.count, self.connections, self.last = 0, 0, ""
        elif hasattr(self, f"listen_{word}"):
            getattr(self, f"listen_{word}")()
        else:
            self.behaviour, self.argument = word, argument
        return "ok"


def main() -> None:
    folder = Path(sys.argv[1])
    certificates(folder)
    nodes = [Node(folder) for _ in range(int(sys.argv[2]))]
    print(" ".join(str(node.port) for node in nodes), flush=True)
    for line in sys.stdin:
        number, word, *rest = line.rstrip("\n").split(" ", 2)
        print(nodes[int(number)].obey(word, rest[0] if rest else ""), flush=True)


if __name__ == "__main__":
    main()
