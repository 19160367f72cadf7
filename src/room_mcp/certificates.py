"""Certificates of servers: an own one is made, one is told by its fingerprint, one is trusted."""

from __future__ import annotations

import contextlib
import hashlib
import os
import ssl
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.x509 import GeneralName

LASTS = timedelta(days=3650)  # whoever pinned it would have to connect anew
CLOCKS_DIFFER_BY = timedelta(days=1)
CONNECT_S = 10.0
OWN = "server.pem"  # key and certificate in one file: two processes cannot mix two pairs
SHOWN = "certificate.pem"


def fingerprint(pem: str) -> bytes:
    """The SHA-256 of the first certificate in a PEM text; raises ValueError when there is none."""
    return hashlib.sha256(_der(pem)).digest()


def shown(fingerprint: bytes) -> str:
    """A fingerprint as openssl and browsers show it."""
    return fingerprint.hex(":").upper()


def without_key(pem: str) -> str:
    """The first certificate alone."""
    return ssl.DER_cert_to_PEM_cert(_der(pem))


def _der(pem: str) -> bytes:
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    _, mark, rest = pem.partition(begin)
    body, ended, _ = rest.partition(end)
    if not (mark and ended):
        raise ValueError("There is no certificate in PEM format")
    return ssl.PEM_cert_to_DER_cert(f"{begin}{body}{end}\n")


def trusting_only(pem: str) -> ssl.SSLContext:
    """What a client verifies a server by that has to show exactly this certificate.

    Its names do not count: whoever was invited knows the certificate, not who vouches for it.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=pem)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # it need not be an authority's
    return context


def shown_by(host: str, port: int) -> str:
    """The certificate, in PEM, that a server shows; nothing is verified.

    Raises:
        OSError: Nothing answers there, or not by TLS.
    """
    return ssl.get_server_certificate((host, port), timeout=CONNECT_S)


def is_signed_by_itself(pem: str) -> bool:
    """Whether no authority vouches for it, so that clients can only know it by heart."""
    from cryptography import x509

    certificate = x509.load_der_x509_certificate(_der(pem))
    return certificate.issuer == certificate.subject


def own(folder: Path, names: Collection[str]) -> Path:
    """The file with this machine's own key and certificate; made at the first time.

    Args:
        folder: Where it is kept, closed to others; the certificate alone stands beside it.
        names: The host names and addresses that the certificate is for.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    kept = folder / OWN
    if not kept.exists():
        made = folder / f".{OWN}.{os.getpid()}"
        _write(made, _new(names))
        with contextlib.suppress(FileExistsError):  # another process was first
            os.link(made, kept)
        made.unlink()
    alone = folder / f".{SHOWN}.{os.getpid()}"
    _write(alone, without_key(kept.read_text("ascii")))
    alone.replace(folder / SHOWN)
    return kept


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _new(names: Collection[str]) -> str:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "room-mcp")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCKS_DIFFER_BY)
        .not_valid_after(now + LASTS)
        .add_extension(x509.SubjectAlternativeName(list(map(_general, sorted(names)))), False)
        # No authority: whoever trusts it trusts this server and nothing that it would sign.
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return (private + certificate.public_bytes(serialization.Encoding.PEM)).decode("ascii")


def _general(name: str) -> GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
