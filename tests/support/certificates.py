"""Certificates for encrypted connections of tests, made with the command `openssl`."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_CONFIG: Final = """
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectAltName = {names}
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[client]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


@dataclass(frozen=True)
class Certificates:
    """PEM files of an authority, and of a server and a client that it vouches for.

    Attributes:
        ca: the authority's certificate.
        cert: the server's certificate.
        key: the server's private key.
        client_cert: the client's certificate.
        client_key: the client's private key.
    """

    ca: Path
    cert: Path
    key: Path
    client_cert: Path
    client_key: Path


def tls_files(folder: Path, *addresses: str) -> Certificates:
    """Make an authority, a server and a client.

    Args:
        folder: where the files are put.
        addresses: the server's IP addresses besides 127.0.0.1 and the name localhost.

    Raises:
        RuntimeError: there is no openssl.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = ", ".join(("DNS:localhost", *(f"IP:{each}" for each in ("127.0.0.1", *addresses))))
    (folder / "openssl.cnf").write_text(_CONFIG.format(names=names))
    request = ("req", "-config", "openssl.cnf", "-nodes", "-newkey", "ec")
    curve = ("-pkeyopt", "ec_paramgen_curve:prime256v1")
    own = ("-x509", "-days", "30", "-extensions", "authority", "-subj", "/CN=authority")
    _openssl(folder, *request, *curve, *own, "-keyout", "ca.key", "-out", "ca.pem")
    for each in ("server", "client"):
        files = ("-keyout", f"{each}.key", "-out", f"{each}.csr")
        _openssl(folder, *request, *curve, "-subj", f"/CN={each}", *files)
        signer = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30")
        extensions = ("-extfile", "openssl.cnf", "-extensions", each)
        files = ("-in", f"{each}.csr", "-out", f"{each}.pem")
        _openssl(folder, "x509", "-req", *signer, *extensions, *files)
    return Certificates(
        ca=folder / "ca.pem",
        cert=folder / "server.pem",
        key=folder / "server.key",
        client_cert=folder / "client.pem",
        client_key=folder / "client.key",
    )


def _openssl(folder: Path, *arguments: str) -> None:
    try:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)
    except FileNotFoundError:
        raise RuntimeError("these tests need openssl: `make programs` installs it") from None
    except subprocess.CalledProcessError as error:
        raise RuntimeError(f"openssl {arguments[0]}: {error.stderr.decode()}") from error
