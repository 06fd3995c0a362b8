"""The tables of the configuration: what each setting is called, means, and is when nobody says."""

from __future__ import annotations

import re
from pathlib import Path
from socket import gethostname
from typing import Any, Literal

from archiver.drivers import is_on_server, with_password
from archiver.errors import ConfigError
from archiver.log import Style
from archiver.redact import redact
from receiver.measures import Count, Days, Hours, Network, Seconds, Sha256, Size, networks
from receiver.provider_tables import Providers
from receiver.sections import Section

_PROXY = re.compile(r"http://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}/?")


class Listen(Section, frozen=True):
    """Where the listeners stand and what they put up with."""

    public: str = "127.0.0.1:8080"
    private: str = "127.0.0.1:8081"
    gateway: str = "127.0.0.1:8082"
    max_body_bytes: Count = 1 << 20
    max_connections: Count = 1000
    keepalive_seconds: Seconds = 15.0
    read_seconds: Seconds = 10.0
    failures_per_minute: int = 600
    trusted_proxies: tuple[str, ...] = ("127.0.0.1/32", "::1/128")

    @property
    def proxies(self) -> tuple[Network, ...]:
        """`trusted_proxies`, parsed; raises ConfigError."""
        return networks(self.trusted_proxies, "listen.trusted_proxies")


class CatalogTable(Section, frozen=True):
    """Where the catalog lies: in a file, with the inboxes beside it, or on a PostgreSQL.

    The disk keeps `min_free_bytes`. On a PostgreSQL, `postgresql://user@host/database`, which all
    nodes of an archive share, only `password` is a secret; what stays on each machine is in its
    `data_folder`, and `node` tells its inboxes from those of the others: its host name by default.
    """

    url: str = "sqlite:///holdfast-data/catalog.db"
    password: str = ""
    password_file: str = ""
    data_folder: str = "holdfast-data"
    node: str = ""
    min_free_bytes: Size = 128 << 20
    allow_unsafe_sqlite: bool = False

    @property
    def is_on_server(self) -> bool:
        """Whether the catalog is on a PostgreSQL."""
        return is_on_server(self.url)

    @property
    def where(self) -> Path | str:
        """The catalog's file, absolute, or the URL by which its server is reached: a secret."""
        if not self.is_on_server:
            return self.path
        return with_password(self.url, self.password)

    @property
    def path(self) -> Path:
        """The catalog's file, absolute; raises ConfigError if it is in none."""
        if self.is_on_server:
            raise ConfigError(
                "this is for a catalog in a file, and catalog.url names a PostgreSQL: see 'On "
                "PostgreSQL' in the README for what takes its place there"
            )
        return _sqlite_path(self.url)

    @property
    def folder(self) -> Path:
        """What lies on this machine, absolute: the catalog's file and all that lies beside it."""
        return Path(self.data_folder).absolute() if self.is_on_server else self.path.parent

    @property
    def inbox_folder(self) -> Path:
        """The folder of the inbox files, and of the quarantine."""
        return self.folder / "inbox"

    @property
    def node_name(self) -> str:
        """What this machine is called among the nodes of an archive."""
        return self.node or gethostname()


class Bucket(Section, frozen=True):
    """Where the bytes go: `file:relative/folder`, `file:///folder` or `s3://name[/prefix]`."""

    url: str = "file:holdfast-data/bucket"
    endpoint: str | None = None
    region: str | None = None


class Gateway(Section, frozen=True):
    """Who may go through the gateway: from `allow_cidrs`, or with a token in the path.

    `clients` maps labels to the SHA-256 (hex) of `/gateway/<token>/<provider>/…`'s token.
    """

    allow_cidrs: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    clients: dict[str, Sha256] = {}
    max_body_bytes: Count = 32 << 20
    answer_seconds: Seconds = 120.0

    @property
    def networks(self) -> tuple[Network, ...]:
        """`allow_cidrs`, parsed; raises ConfigError."""
        return networks(self.allow_cidrs, "gateway.allow_cidrs")


class Egress(Section, frozen=True):
    """What fetching a result may do; looser settings are for tests and the demo.

    With a `proxy`, `http://host:port`, links are asked for through that, which judges where names
    lead; `allow_cidrs` then holds for links that name an address.
    """

    allow_http: bool = False
    allow_ports: tuple[int, ...] = (443,)
    allow_cidrs: tuple[str, ...] = ()
    max_bytes: Count = 512 << 20
    proxy: str = ""

    @property
    def networks(self) -> tuple[Network, ...]:
        """`allow_cidrs`, parsed; raises ConfigError."""
        return networks(self.allow_cidrs, "egress.allow_cidrs")

    @property
    def proxy_url(self) -> str | None:
        """`proxy`, or None where there is none; raises ConfigError."""
        return _proxy(self.proxy) if self.proxy else None


class Archive(Section, frozen=True):
    """How much is done at once, and how long a fault is taken for passing."""

    fetches: Count = 64
    fetches_per_host: Count = 32
    seals: Count = 8
    polls: Count = 16
    derives: Count = 1
    memory_bytes: Count = 64 << 20
    patience_seconds: Seconds = 900.0


class Manifests(Section, frozen=True):
    """Who signs the manifests in the bucket, and whose signatures are believed.

    `signing_key` is an Ed25519 private key in PEM, without one nothing is signed; `trusted_keys`
    are public keys by label, those of former signing keys above all.
    """

    signing_key: str = ""
    signing_key_file: str = ""
    trusted_keys: dict[str, str] = {}


class Keep(Section, frozen=True):
    """For how many days the bodies are kept of what was heard, and of what was refused."""

    keep_days: Days = 30.0


class Backup(Section, frozen=True):
    """How often catalog and inboxes are backed up, 0 being never, and how many backups stay."""

    every_hours: Hours = 24.0
    keep: Count = 7


class Notify(Section, frozen=True):
    """Whom to tell what becomes of each generation: POST to `url`, as standardwebhooks.com says.

    `secrets` are `whsec_…` by label; each signs, so that they can rotate. Links in a message begin
    with `gallery_url`. `allow_http` and `allow_cidrs` are for a receiver on a network of one's own.
    """

    url: str = ""
    secrets: dict[str, str] = {}
    secrets_file: dict[str, str] = {}
    events: tuple[Literal["safe", "held", "lost"], ...] = ("safe", "held", "lost")
    gallery_url: str = ""
    allow_http: bool = False
    allow_cidrs: tuple[str, ...] = ()

    @property
    def networks(self) -> tuple[Network, ...]:
        """`allow_cidrs`, parsed; raises ConfigError."""
        return networks(self.allow_cidrs, "notify.allow_cidrs")


class Log(Section, Style, frozen=True):
    """How it is logged: `auto` is words at a terminal, and JSON anywhere else."""


class Tracing(Section, frozen=True):
    """Where spans go: an OTLP collector over HTTP, such as http://127.0.0.1:4318; "" is nowhere."""

    endpoint: str = ""


class Token(Section, frozen=True):
    """A bearer token of the private listener, by the SHA-256 (hex) of its secret.

    `worker` is for renderers on other machines: they are given what is lost, and bring pictures.
    """

    sha256: Sha256
    scopes: tuple[Literal["read", "write", "worker", "admin"], ...] = ("read",)


class Config(Section, frozen=True):
    """All of it, frozen. What `render` means is known to the wing that draws alone."""

    public_url: str = ""
    listen: Listen = Listen()
    catalog: CatalogTable = CatalogTable()
    bucket: Bucket = Bucket()
    providers: Providers = Providers()
    gateway: Gateway = Gateway()
    egress: Egress = Egress()
    archive: Archive = Archive()
    manifests: Manifests = Manifests()
    backup: Backup = Backup()
    notify: Notify = Notify()
    inbox: Keep = Keep()
    quarantine: Keep = Keep()
    log: Log = Log()
    tracing: Tracing = Tracing()
    tokens: dict[str, Token] = {}
    render: dict[str, Any] = {}


def _proxy(url: str) -> str:
    if "@" in url:
        raise ConfigError(
            "egress.proxy names a user or a password, and is no place for a secret; "
            "let the proxy know this machine by its address"
        )
    if not _PROXY.fullmatch(url):
        raise ConfigError(f"egress.proxy = {url!r} is not http://host:port")
    return url


def _sqlite_path(url: str) -> Path:
    """Three slashes before a relative path and four before an absolute one, as is the custom."""
    path = url.removeprefix("sqlite:///")
    if path == url or not path:
        raise ConfigError(
            f"catalog.url = {redact(url)!r} is not sqlite:///relative/path, "
            "sqlite:////absolute/path or postgresql://user@host/database"
        )
    return Path(path).absolute()
