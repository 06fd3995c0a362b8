"""The configuration: defaults, overlaid by a TOML file, by `HOLDFAST_…` variables, by flags.

It is read once by the parent process, checked whole, and handed to each role frozen.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

from archiver.errors import ConfigError
from receiver.settings import Api, Config, Manifests

ENV_PREFIX = "HOLDFAST_"
DEFAULT_FILE = Path("holdfast.toml")

_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`").fullmatch


def load(
    file: Path | None, *, environ: Mapping[str, str] | None = None, flags: Mapping[str, Any] = {}
) -> Config:
    """Reads and checks the configuration; raises ConfigError with the place of the mistake.

    Without `file`, `holdfast.toml` in the working directory is read if it is there. `flags` maps
    dotted names to values and wins over everything.
    """
    tree = _read_toml(file)
    for name, value in (os.environ if environ is None else environ).items():
        if name.startswith(ENV_PREFIX) and name != f"{ENV_PREFIX}CONFIG":
            path = name.removeprefix(ENV_PREFIX).lower().split("__")
            _set(tree, path, _from_env(value))
    for dotted, value in flags.items():
        if value is not None:
            _set(tree, dotted.split("."), value)
    return from_tree(tree, where=str(file or DEFAULT_FILE))


def from_tree(tree: Mapping[str, Any], *, where: str = "given") -> Config:
    """Checks a tree of plain values; raises ConfigError, saying `where` it is from."""
    try:
        config = msgspec.convert(tree, Config, strict=False)
    except msgspec.ValidationError as error:
        complaint = _complaint(str(error))
        raise ConfigError(
            f"the configuration ({where}, {ENV_PREFIX}… and flags) is wrong: {complaint}"
        ) from error
    config = _with_absolute_paths(_with_secret_files(config))
    _check(config)
    return config


def host_and_port(listen: str, name: str) -> tuple[str, int]:
    """`host:port` or `[v6]:port` taken apart; raises ConfigError."""
    host, _, port = listen.rpartition(":")
    if not host or not (port.isdecimal() and len(port) <= 5 and int(port) <= 65535):
        raise ConfigError(f"{name} = {listen!r} is not host:port")
    return host.strip("[]"), int(port)


def _complaint(said: str) -> str:
    """msgspec's words with the setting's own name in front."""
    what, _, place = said.partition(" - at `")
    setting = place.rstrip("`").removeprefix("key ").removeprefix("$").lstrip(".")
    unknown = _UNKNOWN(what)
    if unknown:
        return f"no setting is called {'.'.join(filter(None, (setting, unknown[1])))}"
    return f"{setting}: {what[:1].lower()}{what[1:]}" if setting else what


def _read_toml(file: Path | None) -> dict[str, Any]:
    path = file or DEFAULT_FILE
    if file is None and not path.exists():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"the configuration {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"the configuration {path} is not TOML: {error}") from error


def _from_env(value: str) -> Any:
    """A list or table is written as TOML; anything else is taken as it is."""
    if value[:1] in ("[", "{"):
        try:
            return tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            return value
    return value


def _set(tree: dict[str, Any], path: list[str], value: Any) -> None:
    for name in path[:-1]:
        tree = tree.setdefault(name, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"{'.'.join(path)}: {name} is not a table")
    tree[path[-1]] = value


def _with_secret_files(config: Config) -> Config:
    """Every `…_file` read into the setting that it stands for."""
    providers = config.providers
    for name, table in providers.all.items():
        read = msgspec.structs.replace(table, **_secrets(table, f"providers.{name}"))
        providers = msgspec.structs.replace(providers, **{name: read})
    return msgspec.structs.replace(
        config, providers=providers, manifests=_with_signing_key(config.manifests)
    )


def _with_signing_key(manifests: Manifests) -> Manifests:
    file = manifests.signing_key_file
    if not file:
        return manifests
    key = _secret(file, "manifests.signing_key_file")
    return msgspec.structs.replace(manifests, signing_key=key, signing_key_file="")


def _secrets(table: Api, where: str) -> dict[str, dict[str, str]]:
    read: dict[str, dict[str, str]] = {}
    for setting in table.__struct_fields__:
        if setting.endswith("_file"):
            plain = setting.removesuffix("_file")
            files: Mapping[str, str] = getattr(table, setting)
            found = {
                label: _secret(file, f"{where}.{setting}.{label}") for label, file in files.items()
            }
            read |= {plain: {**getattr(table, plain), **found}, setting: {}}
    return read


def _secret(file: str, setting: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{setting}: {file} cannot be read") from error


def _with_absolute_paths(config: Config) -> Config:
    """Roles may run anywhere; a relative path means: from where the operator typed."""
    catalog = msgspec.structs.replace(config.catalog, url=f"sqlite:///{config.catalog.path}")
    bucket = config.bucket
    if bucket.url.startswith("file:"):
        bucket = msgspec.structs.replace(bucket, url=_file_path(bucket.url).as_uri())
    return msgspec.structs.replace(config, catalog=catalog, bucket=bucket)


def _file_path(url: str) -> Path:
    path = unquote(url.removeprefix("file:").removeprefix("//"))
    if not path or (url.startswith("file://") and not path.startswith("/")):
        raise ConfigError(
            f"bucket.url = {url!r} is not file:relative/path or file:///absolute/path"
        )
    return Path(path).absolute()


def _check(config: Config) -> None:
    host_and_port(config.listen.public, "listen.public")
    host_and_port(config.listen.private, "listen.private")
    host_and_port(config.listen.gateway, "listen.gateway")
    _ = config.listen.proxies, config.egress.networks, config.gateway.networks
    for name, table in config.providers.all.items():
        if not _is_origin(table.base_url):
            raise ConfigError(
                f"providers.{name}.base_url = {table.base_url!r} is not https://host without a path"
            )


def _is_origin(url: str) -> bool:
    parts = urlsplit(url)
    plain = not (parts.query or parts.fragment or parts.username or parts.path.strip("/"))
    return parts.scheme in ("https", "http") and bool(parts.hostname) and plain
