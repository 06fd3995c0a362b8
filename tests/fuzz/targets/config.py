"""The configuration's file: understood or refused with the place, and its secrets never said."""

from __future__ import annotations

import contextlib
import os
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from archiver.errors import ConfigError
from receiver import effective
from receiver.config import from_tree
from receiver.effective import as_toml
from receiver.layers import gather
from receiver.settings import Config
from tests.fuzz.target import Sabotage, Target

_SECRETS = {"secrets", "keys", "signing_key"}
# Of these letters no sentence of ours is made.
_MARK = "hush"
SABOTAGE = Sabotage(
    says="showing secrets as fingerprints",
    owner=effective,
    name="_fingerprints",
    instead=lambda secret: secret,
)


def law(data: bytes) -> None:
    """The configuration or a ConfigError; no secret in either; what is shown is TOML again."""
    with tempfile.NamedTemporaryFile(prefix="fuzz-", suffix=".toml") as file:
        file.write(data)
        file.flush()
        check(Path(file.name), {})


def check(file: Path | None, environ: Mapping[str, str]) -> None:
    """The law, of a file under an environment."""
    said = None
    try:
        said = gather(file, environ=environ)
        config = from_tree(said.tree)
    except ConfigError as error:
        assert len(str(error)) < 5000
        if said is not None:
            assert_discreet(said.tree, str(error))
        return
    assert config == from_tree(said.tree)
    shown = as_toml(config, said)
    assert_discreet(said.tree, shown + repr(config))
    assert_same(config, tomllib.loads(shown))


def assert_discreet(tree: Mapping[str, Any], text: str) -> None:
    """No secret of a tree is in a text, but where something that is none says the same."""
    secrets, others = set[str](), set[str]()
    for place, value in leaves(tree):
        is_secret = not _SECRETS.isdisjoint(place) and "render" not in place
        (secrets if is_secret else others).add(value)
        others.update(place)
    plain = "\n".join(others)
    for secret in secrets:
        if _MARK in secret and secret.strip() not in plain:
            assert secret not in text, secret


def leaves(value: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every text in a tree, with the names that lead to it."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from leaves(inner, (*place, name))
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, place)
    else:
        yield place, str(value)


def assert_same(config: Config, shown: Mapping[str, Any]) -> None:
    """What is shown of whole tables is what takes effect."""
    for table in ("listen", "egress", "archive", "backup"):
        for name in (its := getattr(config, table)).__struct_fields__:
            value = getattr(its, name)
            assert shown[table][name] == (list(value) if isinstance(value, tuple) else value)


@contextlib.contextmanager
def nowhere() -> Iterator[None]:
    """In an empty folder, where no configuration lies."""
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(here)


TARGET = Target(
    law=law,
    sabotage=SABOTAGE,
    words=(
        *(b"[listen]\n", b"[providers.doitong]\n", b"[providers.dashscope]\n", b"[notify]\n"),
        *(b"[bucket]\n", b"[egress]\n", b"[tokens.a]\n", b"[manifests]\n", b"[gateway.clients]\n"),
        *(b'secrets = { a = "hush-hush" }\n', b'keys = { a = "sk-hush-hush" }\n', b"_file"),
        *(b'base_url = "https://a"\n', b'public = "[::1]:80"\n', b'allow_cidrs = ["10.0.0.0/8"]\n'),
        *(b'url = "s3://a/b"\n', b'url = "sqlite:////a"\n', b'signing_key = "-----BEGIN"\n'),
        *(b'url = "https://a/b"\n', b'["whsec_', b'"""', b"'''", b"2026-11-21T12:00:00Z", b"nan"),
        *(b"1e400", b"99999999999999999999", b"\\ud800", b"\\u0000", b"0x", b"inf", b"[[", b"]]"),
    ),
)
