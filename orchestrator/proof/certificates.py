"""An authority made for a test or proof, and the certificates that it gives out."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

#: How long a certificate is valid, before and after the moment it is made.
VALID: Final = (timedelta(days=-1), timedelta(days=1))

#: One whose time was over before it was made.
EXPIRED: Final = (timedelta(days=-2), timedelta(days=-1))

Validity = tuple[timedelta, timedelta]


@dataclass(frozen=True)
class Authority:
    """Signs certificates and lays them, with their keys, into a folder."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def make(cls, folder: Path) -> Authority:
        """A new authority; who trusts it is given `ca_file`."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("authority")
        made = (
            _builder(name, name, key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(key, hashes.SHA256())
        )
        authority = cls(folder, key, made)
        authority.ca_file.write_bytes(made.public_bytes(Encoding.PEM))
        return authority

    @property
    def ca_file(self) -> Path:
        """The authority's own certificate."""
        return self.folder / "authority.pem"

    def give(
        self,
        name: str,
        *hosts: str,
        password: bytes | None = None,
        validity: Validity = VALID,
    ) -> Path:
        """A certificate with its key in one PEM file, for these hosts or a client."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(
            _name(name), self.certificate.subject, key.public_key(), validity
        )
        if hosts:
            names = x509.SubjectAlternativeName([_general(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        made = builder.sign(self.key, hashes.SHA256())
        kept: KeySerializationEncryption = (
            BestAvailableEncryption(password) if password else NoEncryption()
        )
        file = self.folder / f"{name}.pem"
        file.write_bytes(
            made.public_bytes(Encoding.PEM)
            + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, kept)
        )
        return file

    def server(
        self,
        *hosts: str,
        clients: ssl.VerifyMode = ssl.CERT_NONE,
        validity: Validity = VALID,
    ) -> ssl.SSLContext:
        """The server's side of TLS for these hosts; whether clients show who they are."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.give("endpoint", *hosts, validity=validity))
        context.load_verify_locations(self.ca_file)
        context.verify_mode = clients
        return context


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _builder(
    name: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    validity: Validity = VALID,
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    begins, ends = validity
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
    )
