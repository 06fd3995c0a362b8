"""The configuration: defaults, overlaid by a TOML file, by `HOLDFAST_…` variables, by flags.

It is read once by the parent process, checked whole, and handed to each role frozen.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec

from archiver.errors import ConfigError
from archiver.standard_webhooks import key_of
from receiver.layers import DEFAULT_FILE, ENV_PREFIX, gather
from receiver.sections import Section
from receiver.settings import CatalogTable, Config, Notify

T = TypeVar("T", bound=Section)

_NODE = re.compile(r"[A-Za-z0-9._-]{0,64}").fullmatch
_PASSWORD = re.compile(r"//[^/?#@]*:[^/?#]*@|[?&](ssl)?password=").search
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`").fullmatch


def load(
    file: Path | None, *, environ: Mapping[str, str] | None = None, flags: Mapping[str, Any] = {}
) -> Config:
    """Reads and checks the configuration; raises ConfigError with the place of the mistake.

    Of `file` and `flags` see `layers.gather`.
    """
    said = gather(file, environ=os.environ if environ is None else environ, flags=flags)
    return from_tree(said.tree, where=str(file or DEFAULT_FILE))


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


def _with_secret_files(table: T, where: str = "") -> T:
    """Every `…_file` read into the secret that it stands for, in this table and those within."""
    changed: dict[str, Any] = {}
    for name in table.__struct_fields__:
        value, place = getattr(table, name), f"{where}{name}"
        if isinstance(value, Section):
            changed[name] = _with_secret_files(value, f"{place}.")
    for name in table.secret_names():
        plain, files = getattr(table, name), getattr(table, f"{name}_file")
        place = f"{where}{name}_file"
        if isinstance(files, Mapping):
            read = {label: secret_in(file, f"{place}.{label}") for label, file in files.items()}
            changed |= {name: {**plain, **read}, f"{name}_file": {}}
        elif files:
            changed |= {name: secret_in(files, place), f"{name}_file": ""}
    return msgspec.structs.replace(table, **changed)


def secret_in(file: str, setting: str) -> str:
    """The secret that a file holds, named by that setting; raises ConfigError."""
    try:
        secret = Path(file).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError(f"{setting}: {file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ConfigError(f"{setting}: {file} cannot be read: it is no text") from None
    except ValueError:
        raise ConfigError(f"{setting}: {file!r} cannot be read: no file can be called so") from None
    if not secret:
        raise ConfigError(f"{setting}: {file} is empty")
    return secret


def _with_absolute_paths(config: Config) -> Config:
    """Roles may run anywhere; a relative path means: from where the operator typed."""
    catalog = config.catalog
    if catalog.is_on_server:
        catalog = msgspec.structs.replace(catalog, data_folder=str(catalog.folder))
    else:
        catalog = msgspec.structs.replace(catalog, url=f"sqlite:///{catalog.path}")
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
    _check_catalog(config.catalog)
    host_and_port(config.listen.public, "listen.public")
    host_and_port(config.listen.private, "listen.private")
    host_and_port(config.listen.gateway, "listen.gateway")
    _ = config.listen.proxies, config.egress.networks, config.gateway.networks
    _ = config.egress.proxy_url
    _check_notify(config.notify)
    for name, table in config.providers.all.items():
        if not _is_origin(table.base_url):
            raise ConfigError(f"providers.{name}.base_url is not https://host without a path")


def has_password(url: str) -> bool:
    """Whether a server's URL has a password in it, which is no place for one."""
    return _PASSWORD(url) is not None


def _check_catalog(catalog: CatalogTable) -> None:
    if catalog.is_on_server and has_password(catalog.url):
        raise ConfigError(
            "catalog.url has a password in it, which would be shown wherever the URL is: put it "
            "into catalog.password or catalog.password_file"
        )
    if not _NODE(catalog.node):
        raise ConfigError(
            f"catalog.node = {catalog.node!r} is not made of letters, digits, dots, dashes and "
            "underlines, 64 at most"
        )


def _check_notify(notify: Notify) -> None:
    _ = notify.networks
    for label, secret in notify.secrets.items():
        try:
            key_of(secret)
        except ValueError as error:
            raise ConfigError(
                f"notify.secrets.{label} is no secret of Standard Webhooks: {error}; this makes "
                'one: echo "whsec_$(head -c 32 /dev/urandom | base64)"'
            ) from None
    if not notify.url:
        return
    parts = _web_address(notify.url)
    if parts is None:
        raise ConfigError("notify.url is not https://host/path")
    if parts.scheme == "http" and not notify.allow_http:
        raise ConfigError("notify.url is not https; notify.allow_http = true would permit it")
    if not notify.secrets:
        raise ConfigError("notify.url needs notify.secrets, by which the receiver knows us")


def _is_origin(url: str) -> bool:
    parts = _web_address(url)
    return parts is not None and not (parts.query or parts.fragment or parts.path.strip("/"))


def _web_address(url: str) -> SplitResult | None:
    """It taken apart; None for one that leads nowhere, or that has a user or a password in it."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("https", "http") or not parts.hostname or "@" in parts.netloc:
        return None
    return parts if port != 0 else None
