"""The configuration: defaults, overlaid by a TOML file, by `HOLDFAST_…` variables, by flags.

It is read once by the parent process, checked whole, and handed to each role frozen.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote

import msgspec

from archiver.errors import ConfigError

ENV_PREFIX = "HOLDFAST_"
DEFAULT_FILE = Path("holdfast.toml")

_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`").fullmatch

Count = Annotated[int, msgspec.Meta(ge=1)]
Size = Annotated[int, msgspec.Meta(ge=0)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the configuration; an unknown name in it is a mistake, never ignored."""


class Listen(Section, frozen=True):
    """Where the listeners stand and what they put up with."""

    public: str = "127.0.0.1:8080"
    private: str = "127.0.0.1:8081"
    max_body_bytes: Count = 1 << 20
    max_connections: Count = 1000
    keepalive_seconds: Seconds = 15.0
    read_seconds: Seconds = 10.0
    failures_per_minute: int = 600
    trusted_proxies: tuple[str, ...] = ("127.0.0.1/32", "::1/128")

    @property
    def proxies(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """`trusted_proxies`, parsed; raises ConfigError."""
        return _networks(self.trusted_proxies, "listen.trusted_proxies")


class CatalogTable(Section, frozen=True):
    """Where the catalog lies; the inboxes lie beside it, and leave `min_free_bytes` of the disk."""

    url: str = "sqlite:///holdfast-data/catalog.db"
    min_free_bytes: Size = 128 << 20
    allow_unsafe_sqlite: bool = False

    @property
    def path(self) -> Path:
        """The catalog's file, absolute."""
        return _sqlite_path(self.url)

    @property
    def inbox_folder(self) -> Path:
        """The folder of the inbox files."""
        return self.path.parent / "inbox"


class Bucket(Section, frozen=True):
    """Where the bytes go: `file:relative/folder`, `file:///folder` or `s3://name[/prefix]`."""

    url: str = "file:holdfast-data/bucket"
    endpoint: str | None = None
    region: str | None = None


class Doitong(Section, frozen=True):
    """Doitong's webhook secrets by label, any of which verifies, and where its results come from.

    `secrets_file` names files by label instead, each holding one secret.
    """

    secrets: dict[str, str] = {}
    secrets_file: dict[str, str] = {}
    download_hosts: tuple[str, ...] = ("cdn.doitong.com",)

    def __repr__(self) -> str:
        return f"Doitong(secrets={sorted(self.secrets)}, download_hosts={self.download_hosts})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """What rich may show; msgspec's own would hide nothing."""
        return [("secrets", sorted(self.secrets)), ("download_hosts", self.download_hosts)]


class Providers(Section, frozen=True):
    """The providers that are received from; a missing table means: not from this one."""

    doitong: Doitong | None = None


class Egress(Section, frozen=True):
    """What fetching a result may do; looser settings are for tests and the demo."""

    allow_http: bool = False
    allow_ports: tuple[int, ...] = (443,)
    allow_cidrs: tuple[str, ...] = ()
    max_bytes: Count = 512 << 20

    @property
    def networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """`allow_cidrs`, parsed; raises ConfigError."""
        return _networks(self.allow_cidrs, "egress.allow_cidrs")


class Archive(Section, frozen=True):
    """How much is done at once, and how long a fault is taken for passing."""

    fetches: Count = 64
    fetches_per_host: Count = 32
    seals: Count = 8
    memory_bytes: Count = 64 << 20
    patience_seconds: Seconds = 900.0


class Token(Section, frozen=True):
    """A bearer token of the private listener, by the SHA-256 (hex) of its secret."""

    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-fA-F]{64}$")]
    scopes: tuple[Literal["read", "write", "admin"], ...] = ("read",)


class Config(Section, frozen=True):
    """All of it, frozen."""

    public_url: str = ""
    listen: Listen = Listen()
    catalog: CatalogTable = CatalogTable()
    bucket: Bucket = Bucket()
    providers: Providers = Providers()
    egress: Egress = Egress()
    archive: Archive = Archive()
    tokens: dict[str, Token] = {}


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
    doitong = config.providers.doitong
    if doitong is None or not doitong.secrets_file:
        return config
    secrets = dict(doitong.secrets)
    for label, file in doitong.secrets_file.items():
        try:
            secrets[label] = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"providers.doitong.secrets_file.{label}: {file} cannot be read"
            ) from error
    read = msgspec.structs.replace(doitong, secrets=secrets, secrets_file={})
    providers = msgspec.structs.replace(config.providers, doitong=read)
    return msgspec.structs.replace(config, providers=providers)


def _with_absolute_paths(config: Config) -> Config:
    """Roles may run anywhere; a relative path means: from where the operator typed."""
    catalog = msgspec.structs.replace(config.catalog, url=f"sqlite:///{config.catalog.path}")
    bucket = config.bucket
    if bucket.url.startswith("file:"):
        bucket = msgspec.structs.replace(bucket, url=_file_path(bucket.url).as_uri())
    return msgspec.structs.replace(config, catalog=catalog, bucket=bucket)


def _sqlite_path(url: str) -> Path:
    """Three slashes before a relative path and four before an absolute one, as is the custom."""
    path = url.removeprefix("sqlite:///")
    if path == url or not path:
        raise ConfigError(
            f"catalog.url = {url!r} is not sqlite:///relative/path or sqlite:////absolute/path"
        )
    return Path(path).absolute()


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
    _ = config.listen.proxies, config.egress.networks


def _networks(cidrs: tuple[str, ...], name: str) -> tuple[IPv4Network | IPv6Network, ...]:
    try:
        return tuple(ip_network(cidr) for cidr in cidrs)
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from error
