"""How a process says who it is: nothing is handed to nats-py that it can't use, or shows."""

from __future__ import annotations

import base64
import sys
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

import nkeys
import pytest
from hypothesis import given
from hypothesis import strategies as st

from civitas.errors import ConfigurationError
from civitas_nats.login import log_in
from civitas_nats.options import NATSOptions
from support.nats.logins import credentials, nkey_user

SECRET = "s3same"


def refused(**options: Any) -> str:
    """Return the text with which a login is refused."""
    with pytest.raises(ConfigurationError) as caught:
        log_in(NATSOptions(**options))
    assert caught.value.__cause__ is None or isinstance(caught.value.__cause__, OSError)
    return str(caught.value)


def test_without_a_login_there_are_no_arguments():
    assert log_in(NATSOptions()) == {}


@pytest.mark.parametrize(
    ("servers", "arguments"),
    [
        (f"nats://u:{SECRET}@h", {"user": "u", "password": SECRET}),
        (f"nats://u:{SECRET}@h, nats://u:{SECRET}@i", {"user": "u", "password": SECRET}),
        (f"nats://{SECRET}@h", {"token": SECRET}),
        (f"nats://u:{SECRET}@h, nats://v:{SECRET}@i", {}),
        (f"nats://u:{SECRET}@h, nats://i", {}),
    ],
)
def test_a_login_that_all_urls_have_is_handed_over_and_others_are_left_to_their_servers(
    servers, arguments
):
    assert log_in(NATSOptions(servers=servers)) == arguments


def test_a_token_is_handed_over():
    assert log_in(NATSOptions(token=SECRET)) == {"token": SECRET}


def test_a_user_is_handed_over_with_the_password():
    options = NATSOptions(user="ali", password=SECRET)
    assert log_in(options) == {"user": "ali", "password": SECRET}


def test_the_seed_of_a_user_is_handed_over(tmp_path):
    seed = nkey_user(tmp_path).seed
    assert log_in(NATSOptions(nkey_seed=seed)) == {"nkeys_seed_str": seed}
    assert log_in(NATSOptions(nkey_seed=f"{seed}\n")) == {"nkeys_seed_str": f"{seed}\n"}


def seed_of(prefix: int) -> str:
    seed: bytes = nkeys.encode_seed(bytes(range(32)), prefix)
    return seed.decode()


def short_seed() -> str:
    """Return the seed of a user's key that has two bytes too few."""
    whole = base64.b32decode(seed_of(nkeys.PREFIX_BYTE_USER) + "======")
    return base64.b32encode(whole[:-2]).decode().rstrip("=")


@pytest.mark.parametrize(
    "seed",
    [
        SECRET,
        short_seed(),
        "SU",
        seed_of(nkeys.PREFIX_BYTE_USER)[:-4],
        seed_of(nkeys.PREFIX_BYTE_USER).lower(),
        seed_of(nkeys.PREFIX_BYTE_USER).replace("A", "ü"),
        seed_of(nkeys.PREFIX_BYTE_ACCOUNT),
        seed_of(nkeys.PREFIX_BYTE_OPERATOR),
        f"U{SECRET}",
    ],
)
def test_what_is_no_seed_of_a_user_is_refused_and_not_shown(seed):
    told = refused(nkey_seed=seed)
    assert told.startswith("nkey_seed is no seed of an NKey user")
    assert seed == "SU" or seed not in told


@given(st.text(min_size=1))
def test_any_text_is_a_seed_or_refused(text):
    try:
        log_in(NATSOptions(nkey_seed=text))
    except ConfigurationError as error:
        told = str(error)
        assert told.startswith("nkey_seed is no seed")


def test_a_file_with_both_parts_is_handed_over(tmp_path):
    file = credentials(tmp_path).file
    assert log_in(NATSOptions(credentials=file)) == {"user_credentials": str(file)}


def broken(folder: Path, old: str, new: str) -> Path:
    """Make a credentials file that is not quite one."""
    file = credentials(folder).file
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    return file


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("BEGIN NATS USER JWT", "BEGIN NATS USER"),  # nats-py would read such a file for ever
        ("BEGIN USER NKEY SEED", "BEGIN NKEY SEED"),
        ("-----BEGIN NATS USER JWT-----\n", "-----BEGIN NATS USER JWT-----\n\n"),
        ("-----BEGIN USER NKEY SEED-----\n", "-----BEGIN USER NKEY SEED-----\n\n"),
        ("\nSU", "\nSA"),
        ("\nSU", "\nSUU"),
        (".", ""),
    ],
)
def test_a_file_that_lacks_a_part_is_refused_and_not_shown(tmp_path, old, new):
    file = broken(tmp_path, old, new)
    told = refused(credentials=file)
    assert told.startswith(f"credentials: {file} is no credentials file")
    assert not any(line in told for line in file.read_text().splitlines() if len(line) > 40)


@pytest.mark.parametrize("content", [b"", b"-----BEGIN NATS USER JWT-----", b"\0\xff" * 1000])
def test_a_file_of_something_else_is_refused(tmp_path, content):
    file = tmp_path / "x.creds"
    file.write_bytes(content)
    assert "is no credentials file" in refused(credentials=file)


def test_a_file_with_the_line_ends_of_windows_is_told_so(tmp_path):
    file = credentials(tmp_path).file
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert (
        refused(credentials=file)
        == f"credentials: the lines of {file} end with CR LF: save it with LF"
    )


def test_a_file_that_can_not_be_read_is_told_with_the_reason(tmp_path):
    missing = tmp_path / "none.creds"
    assert refused(credentials=missing).endswith(
        "none.creds can't be read: No such file or directory"
    )
    assert refused(credentials=tmp_path).endswith("can't be read: Is a directory")


@pytest.mark.parametrize("option", ["credentials", "nkey_seed"])
def test_without_the_package_nkeys_it_is_said_how_to_get_it(monkeypatch, option):
    find = PathFinder.find_spec
    monkeypatch.delitem(sys.modules, "nkeys")
    monkeypatch.setattr(
        PathFinder, "find_spec", lambda name, *rest: None if name == "nkeys" else find(name, *rest)
    )
    told = refused(**{option: SECRET})
    assert told == f'{option} needs the package nkeys: pip install "civitas-nats[nkeys]"'
    assert log_in(NATSOptions(token=SECRET)) == {"token": SECRET}
