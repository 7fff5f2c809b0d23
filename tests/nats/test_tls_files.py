"""Files for encrypted connections: what is wrong with one is reported before anything connects."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest

from civitas.errors import ConfigurationError
from civitas_nats.options import NATSOptions
from civitas_nats.tls import context_for
from support.certificates import tls_files


def context(servers: str = "nats://h", **tls: Any) -> ssl.SSLContext | None:
    return context_for(NATSOptions(servers=servers, tls=tls or None))


def refused(**tls: Any) -> str:
    """Return the text with which files are refused."""
    with pytest.raises(ConfigurationError) as caught:
        context(**tls)
    return str(caught.value)


def test_where_nothing_asks_for_encryption_there_is_no_context():
    assert context() is None


@pytest.mark.parametrize("servers", ["tls://h", "TLS://h", "nats://h, tls://i"])
def test_a_url_asks_for_encryption_with_the_authorities_of_the_system(servers):
    made = context(servers)
    assert made is not None
    assert made.verify_mode is ssl.CERT_REQUIRED
    assert made.check_hostname


def test_an_empty_block_asks_for_encryption():
    made = context_for(NATSOptions(tls={}))
    assert made is not None
    assert made.verify_mode is ssl.CERT_REQUIRED


def test_only_the_given_authority_is_trusted(certificates):
    made = context(ca=certificates.ca)
    assert made is not None
    [authority] = made.get_ca_certs()
    assert authority["subject"] == ((("commonName", "authority"),),)
    assert made.verify_mode is ssl.CERT_REQUIRED


def test_a_certificate_with_its_key_is_shown(certificates):
    assert context(ca=certificates.ca, cert=certificates.client_cert, key=certificates.client_key)


@pytest.mark.parametrize("option", ["ca", "cert", "key"])
def test_a_file_that_can_not_be_read_is_named_with_its_option(certificates, tmp_path, option):
    files = {"cert": certificates.client_cert, "key": certificates.client_key}
    missing = tmp_path / "none.pem"
    told = refused(**{**files, option: missing})
    assert told == f"tls.{option}: {missing} can't be read: No such file or directory"
    assert refused(**{**files, option: tmp_path}).endswith("can't be read: Is a directory")


@pytest.mark.parametrize("content", [b"", b"no PEM", b"\0\xff" * 100])
def test_an_authority_that_is_none_is_told(tmp_path, content):
    file = tmp_path / "ca.pem"
    file.write_bytes(content)
    assert refused(ca=file).startswith(f"tls.ca: {file} has no certificate of an authority, as PEM")


def test_an_authority_that_is_damaged_is_told(certificates, tmp_path):
    file = tmp_path / "ca.pem"
    file.write_text(certificates.ca.read_text().replace("M", "N", 3))
    assert refused(ca=file).startswith(f"tls.ca: {file} has no certificate of an authority")


def test_a_private_key_for_an_authority_is_told(certificates):
    assert "has no certificate of an authority" in refused(ca=certificates.client_key)


def test_a_key_of_another_certificate_is_told_with_the_reason(certificates):
    told = refused(cert=certificates.client_cert, key=certificates.key)
    assert told == (
        f"tls: {certificates.client_cert} and {certificates.key} are no certificate with its"
        " private key, as PEM: key values mismatch"
    )


def test_a_certificate_and_a_key_that_are_mixed_up_are_told(certificates):
    told = refused(cert=certificates.client_key, key=certificates.client_cert)
    assert "are no certificate with its private key" in told


def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked_for_it(certificates, tmp_path):
    key = tmp_path / "locked.key"
    encrypt = ("openssl", "pkey", "-aes256", "-passout", "pass:s3same")
    files: tuple[str | Path, ...] = ("-in", certificates.client_key, "-out", key)
    subprocess.run([*encrypt, *files], check=True, capture_output=True)
    told = refused(cert=certificates.client_cert, key=key)
    assert told == f"tls.key: {key} has a passphrase: give a key without one"


def test_another_authority_does_not_vouch_for_a_server(certificates, tmp_path):
    mine, other = context(ca=certificates.ca), context(ca=tls_files(tmp_path).ca)
    assert mine is not None
    assert other is not None
    assert mine.get_ca_certs(binary_form=True) != other.get_ca_certs(binary_form=True)
