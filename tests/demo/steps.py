# SPDX-License-Identifier: Apache-2.0
"""What ./dev demo plays, in this order. A step is a title, a command, and what must be true of it."""

from __future__ import annotations

from player import Chapter, Step

CREDENTIAL = """\
cat >/etc/keybearer/credentials.d/orders-db.conf <<END
[Credential]
Path=kv/orders
[Allow]
Unit=orders.service
END
systemctl reload keybearerd"""

UNIT = """\
cat >/etc/systemd/system/orders.service <<END
[Service]
Type=exec
DynamicUser=yes
ExecStart=sh -c 'cd %d && grep . * && exec sleep infinity'
END
keybearer unit add orders.service orders-db"""

THIEF = """\
cd /etc/systemd/system && cp orders.service thief.service
cp -r orders.service.d thief.service.d
sed -i /Restart=/d thief.service.d/*
systemctl daemon-reload && systemctl start thief"""

SERVER = """\
cat >/etc/keybearer/credentials.d/web-tls.conf <<END
[Credential]
Path=pki/issue/web
Param.common_name=localhost
[Rotation]
RenewAt=0.2
OnRotate=reload
Overlap=2s
END
cat >/etc/web.conf <<END
events {} http { server { listen 443 ssl;
    ssl_certificate     /run/keybearer/units/web.service/current/web-tls.certificate;
    ssl_certificate_key /run/keybearer/units/web.service/current/web-tls.private_key; } }
END
cat >/etc/systemd/system/web.service <<END
[Service]
ExecStart=nginx -c /etc/web.conf -g 'daemon off;'
ExecReload=kill -HUP \\$MAINPID
END
systemctl reload keybearerd
keybearer unit add --allow web.service web-tls && systemctl start web"""

KILLED = """\
cp /run/keybearer/units/web.service/current/web-tls.certificate last.pem
systemctl mask --quiet --runtime keybearerd && systemctl kill --signal=KILL keybearerd
systemctl stop web && openssl verify -crl_check -CAfile ca.pem -CRLfile /var/lib/keybearer/pki/local.hosts.crl last.pem"""

AWAY = """\
for how in wait stale fail; do
    printf "[Credential]\\nPath=kv/orders\\nOnUnavailable=$how\\n" >/etc/keybearer/credentials.d/$how.conf
    printf '[Service]\\nType=exec\\nExecStart=sleep infinity\\n' >/etc/systemd/system/$how.service
    systemctl reload keybearerd && keybearer unit add --allow $how.service $how.password && systemctl start $how
done"""

ANAS = """\
printf 'ana_ro\\nhers alone\\n' | keybearer secret put kv/reports username password
cat >/etc/keybearer/credentials.d/reports.conf <<END
[Credential]
Path=kv/reports
[Allow]
User=ana
END
mkdir -p /etc/keybearer/keybearer.conf.d
printf '[Login]\\nLinger=3s\\n' >/etc/keybearer/keybearer.conf.d/linger.conf
systemctl reload keybearerd"""

ON_THE_WIRE = "openssl s_client -connect localhost:443 </dev/null 2>/dev/null | openssl x509"

PASSWORD, NEW = "several long words", "quite another sentence"

# hidden: a client that has been here before, so that its questions are not in the way
SSH_CONFIG = "StrictHostKeyChecking no\\nLogLevel ERROR\\nNumberOfPasswordPrompts 1\\n"

ALTER = """\
systemctl --quiet stop keybearerd && cd /var/lib/keybearer/log && cp -a . /root/was
sed -i s/thief/chief/ 0*"""

CUT = """\
cd /var/lib/keybearer/log && cp -a /root/was/. .
truncate -s "$(grep -abo thief 0* | head -n 1 | cut -d: -f1)" 0*"""

STEPS: list[Chapter | Step] = [
    Chapter("Install"),
    Step("one package, without a network",
         "apt-get install -qq ./keybearer*.deb >/dev/null && keybearer setup",
         says="recovery code", lines=16,
         check="systemctl is-active -q keybearerd.service keybearer-{root,auth}.socket"),
    Step("once more: there is nothing to do",
         "keybearer setup", never="made|started"),
    Step("nothing is wrong",
         "keybearer doctor | head -n 3; keybearer doctor >/dev/null && echo ...", says=r"^\.\.\."),
    Step("its processes, as confined as systemd can say",
         "systemd-analyze security --no-pager | grep keybearer",
         says=r"store-local\.service +0\.\d(.|\n)*keybearerd\.service +1\.\d"),
    Step("keys lie in memory that is never swapped",
         "findmnt /run/keybearer", says="ramfs"),

    Chapter("People log in", "Nobody is in /etc/passwd: the directory is the store's, and what may be done is a rule."),
    Step("a person, a group, and a rule for both",
         "keybearer user add ana full-name='Ana Doe'\nkeybearer group add dba\nkeybearer group member-add dba member=ana\n"
         "keybearer rule add doors who=@dba service='sshd su-l login sudo'\n"
         "echo '%dba ALL=(ALL) ALL' >/etc/sudoers.d/dba",
         answers=(("assword: ", PASSWORD), ("again: ", PASSWORD)), never=PASSWORD,
         check=f"mkdir -p /root/.ssh && printf '{SSH_CONFIG}' >/root/.ssh/config"),
    Step("every process of the host knows her at once",
         "getent passwd ana; id ana", says=r"^ana:\*:65536(.|\n)*\(dba\)"),
    Step("ssh by password, with a home folder made on the way",
         "ssh ana@localhost 'id; pwd'", answers=(("assword: ", PASSWORD),), says=r"^uid=65536\(ana\)(.|\n)*^/home/ana"),
    Step("a wrong password",
         "ssh ana@localhost", answers=(("assword: ", "several wrong words"),), exit=255, says="Permission denied"),
    Step("login at the console",
         "exec login ana", answers=(("assword: ", PASSWORD), (r"\$ $", "tty; exit")), says="/dev/pts/", lines=2),
    Step("su, by somebody of /etc/passwd", "su - ana -c 'id; pwd'", user="games",
         answers=(("assword: ", PASSWORD),), says=r"^uid=65536\(ana\)(.|\n)*^/home/ana"),
    Step("sudo, for the group that the rule names", "sudo id", user="ana",
         answers=(("assword for ana: ", PASSWORD),), says=r"^uid=0\(root\)"),
    Step("passwd changes it in the store", "passwd", user="ana",
         answers=(("urrent.*: ", PASSWORD), ("ew.*: ", NEW), ("ew.*: ", NEW)), never=f"{PASSWORD}|{NEW}",
         check=f"echo '{NEW}' | pamtester sshd ana authenticate"),
    Step("who is disabled is out at once, by every way",
         "keybearer user disable ana && pamtester sshd ana acct_mgmt", exit=1, says="denied",
         check="keybearer user enable ana"),
    Step("one-time codes, on paper; then the store dies",
         "keybearer recovery 3 | tee codes\nsystemctl stop keybearer-store-local.socket keybearer-store-local",
         check="grep -oE '([0-9A-Z]+-){4}[0-9A-Z]+' /root/codes | head -n 1 | grep . >/root/code"),
    Step("with the store dead, a code lets her in",
         "exec login ana", answers=(("assword: ", NEW), ("ecovery code: ", "@/root/code"), (r"\$ $", "exit")), lines=3),
    Step("once, and everybody hears of it",
         "journalctl -o cat --priority=alert -t keybearer; keybearer doctor | grep -i 'code'", says="recovery code",
         check="systemctl start keybearer-store-local.socket && keybearer user list | grep ana"),

    Chapter("A service starts with a secret"),
    Step("the secret, never on a command line",
         r"printf 'orders\nhard to guess\n' | keybearer secret put kv/orders username password"),
    Step("a credential: what it is made of, and who may have it", CREDENTIAL,
         check="keybearer credential list | grep orders-db"),
    Step("a unit that shows what it finds, and asks for the credential", UNIT,
         check="grep LoadCredentialEncrypted=orders-db.password: /etc/systemd/system/orders.service.d/*"),
    Step("it starts, and finds both fields of one grant",
         "systemctl start orders && sleep 0.3 && journalctl -u orders -o cat",
         says="^orders-db.password:hard to guess$"),
    Step("what is handed out now", "keybearer grant list", says="orders"),

    Chapter("A certificate renews itself", "It lives for half a minute here, and is replaced after a fifth of that."),
    Step("an authority, and what it may certify",
         "keybearer ca create hosts && keybearer ca role-set web ca=hosts domains=localhost server=yes ttl=30s"),
    Step("a web server that reads its certificate where it is renewed", SERVER, lines=3,
         check=f"{ON_THE_WIRE} -noout"),
    Step("what a client sees",
         f"{ON_THE_WIRE} >first.pem; openssl x509 -noout -serial -in first.pem", says="^serial=[0-9A-F]{16}"),
    Step("a few seconds later",
         "until journalctl -u web -o cat | grep 'uses its new'; do sleep 0.2; done\n"
         f"{ON_THE_WIRE} -noout -serial", says="^serial=[0-9A-F]{16}",
         check=f"cd && ! cmp -s first.pem <({ON_THE_WIRE})"),
    Step("the first one is revoked, for everybody who looks",
         "keybearer ca show hosts | sed 's/^certificate: //' | openssl x509 >ca.pem\n"
         "openssl verify -crl_check -CAfile ca.pem -CRLfile /var/lib/keybearer/pki/local.hosts.crl first.pem",
         exit=2, says="certificate revoked"),

    Step("the server ends while the broker is dead: still good", KILLED, says="OK"),
    Step("until the broker is back",
         "systemctl unmask --quiet --runtime keybearerd && systemctl start keybearerd\n"
         "until openssl verify -crl_check -CAfile ca.pem -CRLfile /var/lib/keybearer/pki/local.hosts.crl last.pem 2>&1 "
         "| grep revoked; do sleep 0.2; done",
         says="certificate revoked", check="! keybearer grant list | grep web"),

    Chapter("The store is away", "What a unit does then is in its credential: OnUnavailable=."),
    Step("three units, one of each kind, all running", AWAY, lines=3, check="systemctl is-active -q wait stale fail"),
    Step("without the store: the last good value, a refusal, and patience",
         "systemctl stop keybearer-store-local.socket keybearer-store-local\n"
         "systemctl restart stale && systemctl is-active stale\n"
         "systemctl restart fail; systemctl restart --no-block wait\n"
         "sleep 1; systemctl is-active wait\n"
         "until journalctl -u fail -o cat | grep -m 1 'not given'; do sleep 0.2; done",
         says=r"^active$(.|\n)*^activating$(.|\n)*was not given fail: unreachable"),
    Step("the store is back, and nobody touches them",
         "systemctl start keybearer-store-local.socket\nuntil systemctl is-active -q wait && systemctl is-active -q fail; do sleep 0.2; done\n"
         "systemctl is-active wait stale fail; systemctl stop wait stale fail",
         says=r"^active\nactive\nactive$"),

    Chapter("A person logs in, and has what is hers"),
    Step("a credential for her, that stays for three seconds after her last session", ANAS),
    Step("she logs in, and finds it",
         "ssh ana@localhost 'echo $KEYBEARER_CREDENTIALS; cd $KEYBEARER_CREDENTIALS && grep . *'",
         answers=(("assword: ", NEW),),
         says="^/run/keybearer/users/65536/current$(.|\n)*^reports.password:hers alone$"),
    Step("for a moment, in case that she comes back", "keybearer grant list | grep ana", says="reports"),
    Step("to others the folder is closed",
         "runuser -u nobody -- ls /run/keybearer/users/65536/current/", exit=2, says="Permission denied"),
    Step("a few seconds later: revoked, and the folder is gone",
         "while ls /run/keybearer/users/65536; do sleep 0.2; done >/dev/null 2>&1\nkeybearer audit show | grep 'reports of ana'",
         says="was revoked", check="! keybearer grant list | grep ana"),

    Chapter("Who may not does not start"),
    Step("a unit that asks for the same, and is not named there", THIEF, exit=1,
         check="systemctl show -P ExecMainStatus thief | grep -x 243 && journalctl -u thief -o cat | grep 'not given'"),
    Step("its own status says why",
         "systemctl status --no-pager --output=cat --lines=8 thief | tail -n 8", says="was not given orders-db: denied"),

    Chapter("The end of a grant, and the record of it"),
    Step("the unit stops, and nothing is handed out any more",
         "systemctl stop orders; sleep 0.5; keybearer grant list", never="orders"),
    Step("the whole story", "keybearer audit show | tail -n 9 | cut -c 32-", says="refused", lines=9),
    Step("the log is whole", "keybearer audit verify", says="chain are whole"),
    Step("an anchor of it, to be kept elsewhere", "keybearer audit anchor | tee anchor", says="^kb-anchor"),
    Step("root changes the thief's name", ALTER),
    Step("that is found", "keybearer audit verify", exit=7, says="damaged, or overwritten"),
    Step("root cuts the end off instead, before the thief", CUT),
    Step("that is found with the anchor", "keybearer audit verify $(cat anchor)", exit=7, says="the end was cut off"),
]
