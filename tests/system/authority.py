# SPDX-License-Identifier: Apache-2.0
"""Who the servers of a test are trusted by: a CA for TLS, and an issuer of signed tokens (JWT)."""

from __future__ import annotations

import base64
import ipaddress
import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


@dataclass(frozen=True)
class Certificate:
    """A certificate with its key: two files on this host, in PEM."""

    certificate: Path
    key: Path


def private_pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    """A key as the programs that we start read it."""
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


class Authority:
    """A CA of the test's own; `file` is what its clients trust."""

    def __init__(self, folder: Path, name: str = "Test CA") -> None:
        folder.mkdir()
        self.folder = folder
        self.file = folder / "ca.pem"
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._count = 0
        only_ca = x509.BasicConstraints(ca=True, path_length=0)
        certificate = self._sign(self._name, self._key, only_ca, timedelta(hours=-1), timedelta(days=2), [])
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def _sign(self, name: x509.Name, key: ec.EllipticCurvePrivateKey, constraints: x509.BasicConstraints,
              begins: timedelta, ends: timedelta, names: list[x509.GeneralName]) -> x509.Certificate:
        now = datetime.now(timezone.utc)
        ours = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(self._name).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now + begins).not_valid_after(now + ends)
        builder = builder.add_extension(constraints, critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ours)
        builder = builder.add_extension(issuer, critical=False)
        if names:
            both = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
            builder = builder.add_extension(both, critical=False)
        return builder.sign(self._key, hashes.SHA256())

    def certificate(self, name: str, *addresses: str, begins: timedelta = timedelta(hours=-1),
                    ends: timedelta = timedelta(days=1)) -> Certificate:
        """A new one for a server or a client of this name, valid between these times from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.DNSName(name)]
        names += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        none = x509.BasicConstraints(ca=False, path_length=None)
        signed = self._sign(subject, key, none, begins, ends, names)
        self._count += 1
        made = Certificate(self.folder / f"{self._count}-{name}.pem", self.folder / f"{self._count}-{name}.key")
        made.certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        made.key.write_bytes(private_pem(key))
        return made

    @staticmethod
    def server(own: Certificate) -> ssl.SSLContext:
        """TLS for a server of the test's own that shows this certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(own.certificate, own.key)
        return context

    def client(self, own: Certificate | None = None) -> ssl.SSLContext:
        """TLS for a client that trusts this CA only, and shows a certificate if it has one."""
        context = ssl.create_default_context(cafile=str(self.file))
        if own:
            context.load_cert_chain(own.certificate, own.key)
        return context


class Issuer:
    """Signs tokens as an identity provider does; `public` is what others check them with, in PEM."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = self._key.public_key()
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        self.public = public.public_bytes(serialization.Encoding.PEM, form).decode()

    def token(self, subject: str, audience: str = "keybearer", ttl: float = 600,
              claims: Mapping[str, Any] = {}) -> str:
        """A JWT for a subject."""
        now = int(time.time())
        times = {"iat": now, "nbf": now - 5, "exp": int(now + ttl)}
        header: Mapping[str, Any] = {"alg": "RS256", "typ": "JWT"}
        payload: Mapping[str, Any] = {"iss": "test", "sub": subject, "aud": audience, **times, **claims}
        signed = ".".join(self._part(json.dumps(part).encode()) for part in (header, payload))
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{self._part(signature)}"

    @staticmethod
    def _part(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
