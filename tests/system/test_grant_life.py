# SPDX-License-Identifier: Apache-2.0
"""A certificate from issue to revocation: renewed under a running server, revoked however the server ends."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

import pytest
from machine import Machine
from service import add, define, grants, restart, service, show

CA = "/root/ca.pem"
CRL = "/var/lib/keybearer/pki/local.hosts.crl"
FILES = "/run/keybearer/units/web.service/current"

# A web server as it is, which reads its certificate where KEYBEARER_CREDENTIALS says and reloads on SIGHUP.
SERVER = """\
[Service]
ExecStartPre=/bin/sh -c 'sed "s,@HERE@,$KEYBEARER_CREDENTIALS,g" /root/web.conf.in >/run/web.conf'
ExecStart=/usr/sbin/nginx -c /run/web.conf -g "daemon off;"
ExecReload=/bin/kill -HUP $MAINPID
[Install]
WantedBy=multi-user.target
"""
NGINX = """\
pid /run/web.pid;
error_log stderr;
events {}
http {
    access_log off;
    server {
        listen 127.0.0.1:443 ssl;
        ssl_certificate @HERE@/web-tls.certificate;
        ssl_certificate_key @HERE@/web-tls.private_key;
        location / { return 200 "hello\\n"; }
    }
}
"""

CLIENT = f"openssl s_client -quiet -connect localhost:443 -CAfile {CA} -verify_return_error"

# Asks again and again, a new connection each time, and says what did not go well.
CLIENTS = f"""
while [ ! -e /run/enough ]; do
    printf 'GET / HTTP/1.0\\r\\n\\r\\n' | {CLIENT} 2>/root/why | grep -q hello || {{ echo refused; cat /root/why; }}
done
"""

# One request that takes from one certificate to the next.
SLOW_CLIENT = f"""
{{ printf 'GET / HTTP/1.1\\r\\nHost: localhost\\r\\n'; touch /run/half; while [ ! -e /run/enough ]; do sleep 0.1; done
   printf 'Connection: close\\r\\n\\r\\n'; }} | {CLIENT} 2>/dev/null
"""


@pytest.fixture(scope="module")
def host(own_machine: Machine) -> Machine:
    """A machine with a CA, and a web server that may have certificates of it."""
    own_machine.run("keybearer ca create hosts common-name='Test CA'")
    own_machine.run("keybearer ca role-set web ca=hosts domains=localhost server=yes ttl=1h")
    own_machine.run(f"keybearer ca show hosts | sed -n '/BEGIN/,/END/s/^certificate: //;/BEGIN/,/END/p' >{CA}")
    own_machine.write("/root/web.conf.in", NGINX)
    service(own_machine, "web.service", SERVER)
    certify(own_machine, "1h")
    add(own_machine, "web.service", "web-tls")
    return own_machine


def certify(host: Machine, ttl: str, rotation: str = "") -> None:
    """Says how long the server's certificates live, and what happens when they are replaced."""
    more = f"Param.common_name=localhost\nParam.ttl={ttl}"
    define(host, "web-tls", "pki/issue/web", "web.service", more, rotation)


def serial_on_the_wire(host: Machine) -> str:
    """The serial number of the certificate that a client is shown, verified."""
    command = f"{CLIENT.replace('-quiet', '')} </dev/null 2>/dev/null | openssl x509 -noout -serial"
    return host.run(command, check=False).stdout.strip()


def start(host: Machine) -> str:
    """Starts the server; returns the serial number of its certificate, which is kept in /root."""
    restart(host, "web.service")
    host.run(f"cp {FILES}/web-tls.certificate /root/was.pem")
    serial = host.run("openssl x509 -noout -serial -in /root/was.pem").stdout.strip()
    host.wait_for(lambda: serial_on_the_wire(host) == serial, what="the certificate on the wire")
    assert verdict(host) == "OK"
    return serial


def verdict(host: Machine) -> str:
    """What openssl says about the certificate that the server had, with the list of revoked ones."""
    result = host.run(f"openssl verify -crl_check -CAfile {CA} -CRLfile {CRL} /root/was.pem", check=False)
    if result.returncode == 0:
        return "OK"
    return "revoked" if "error 23 at 0 depth lookup: certificate revoked" in result.stderr else result.stderr


def test_a_certificate_is_renewed_under_a_running_server(host: Machine) -> None:
    """At the set share of its life: new folder, reload, new serial on the wire, nobody dropped, old one revoked."""
    certify(host, "30s", "RenewAt=0.2\nOnRotate=reload\nOverlap=3s")
    host.run("rm -f /run/enough /run/half")
    first = start(host)
    began = time.monotonic()
    pid = show(host, "web.service", "MainPID")
    with host.popen(CLIENTS, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as clients:
        with host.popen(SLOW_CLIENT, stdout=subprocess.PIPE, text=True) as slow:
            host.wait_for(lambda: serial_on_the_wire(host) not in ("", first), 15, "a new certificate on the wire")
            took = time.monotonic() - began
            grant = grants(host, "web.service")[0]
            host.wait_for(lambda: verdict(host) == "revoked", 10, "the old certificate in the list of revoked ones")
            host.run("touch /run/enough")
            assert "200 OK" in slow.communicate(timeout=20)[0]
        assert clients.communicate(timeout=20)[0] == ""
    assert 4 < took < 10, "renewed at a fifth of 30 s"
    assert grant["state"] == "offered" and 15 < grant["expires"] / 1e6 - grant["issued"] / 1e6 < 60
    assert show(host, "web.service", "MainPID") == pid
    words = host.messages("web.service")
    assert "A new web-tls was offered to web.service" in words and "web.service uses its new web-tls" in words
    host.run("systemctl stop web.service")


def test_grant_list_shows_time_left_and_state(host: Machine) -> None:
    """For a person: how long it lives, and when it is renewed."""
    certify(host, "1h")
    start(host)
    lines = host.run("keybearer grant list").stdout.splitlines()
    row = next(line for line in lines if "web.service" in line).split()
    head = lines[0].split()
    assert row[head.index("STATE")] == "issued"
    assert any(word in lines[1] for word in ("in 59min", "in 1h", "in 60min")), lines


def stop(host: Machine) -> None:
    host.run("systemctl stop web.service")


def fail(host: Machine) -> None:
    host.run("systemctl kill --signal=KILL web.service")


def end_without_broker(host: Machine) -> None:
    """The broker dies, and the unit ends before there is another one."""
    host.run("systemctl mask --runtime keybearerd.service && systemctl kill --signal=KILL keybearerd.service")
    host.wait_for(lambda: show(host, "keybearerd.service", "MainPID") == {"MainPID": "0"})
    host.run("systemctl stop web.service")
    host.run("systemctl unmask --runtime keybearerd.service && systemctl reset-failed keybearerd.service")
    host.run("systemctl start keybearerd.service")


def end_without_store(host: Machine) -> None:
    """The unit ends while its store is away; the store hears of it when it comes back."""
    store = "keybearer-store-local.socket keybearer-store-local.service"
    host.run(f"systemctl mask --runtime --now {store} && systemctl stop web.service")
    assert verdict(host) == "OK"
    host.run(f"systemctl unmask --runtime {store} && systemctl start keybearer-store-local.socket")


def remove_file(host: Machine) -> None:
    """Nobody may have the credential any more, also who has it."""
    host.run("rm /etc/keybearer/credentials.d/web-tls.conf && systemctl reload keybearerd.service")


def revoke(host: Machine) -> None:
    """An administrator takes it back."""
    host.run(["keybearer", "grant", "revoke", str(grants(host, "web.service")[0]["id"])])


ENDS = (stop, fail, end_without_broker, end_without_store, remove_file, revoke)


@pytest.mark.parametrize("end", ENDS, ids=[end.__name__ for end in ENDS])
def test_what_has_ended_is_revoked(host: Machine, end: Callable[[Machine], None]) -> None:
    """However it ends, the certificate is in the list of revoked ones soon after, and its folder is gone."""
    certify(host, "1h")
    serial = start(host)
    end(host)
    host.wait_for(lambda: verdict(host) == "revoked", 30, f"{serial} in the list of revoked ones")
    host.run("systemctl stop web.service")
    host.wait_for(lambda: not grants(host, "web.service"), what="the end of the grant")
    host.wait_for(lambda: host.run("ls /run/keybearer/units").stdout == "", what="the end of the folder")


@pytest.mark.core
@pytest.mark.parametrize("cut", [False, True], ids=["reboot", "power-cut"])
def test_what_ended_with_the_host_is_revoked_after_it(host: Machine, cut: bool) -> None:
    """After a reboot, and after a power cut, the old certificate is revoked and the server has a new one."""
    certify(host, "1h")
    host.run("systemctl enable web.service")
    serial = start(host)
    if cut:
        host.run("sync")
        host.kill()
        host.start()
    else:
        host.reboot()
    host.wait_for(lambda: verdict(host) == "revoked", 30, f"{serial} in the list of revoked ones")
    host.wait_for(lambda: serial_on_the_wire(host) not in ("", serial), 30, "the server with a new certificate")
    assert len(grants(host, "web.service")) == 1
