"""The tables of the configuration: what each setting is called, means, and is when nobody says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from archiver.errors import ConfigError
from receiver.measures import Count, Days, Hours, Network, Rate, Seconds, Sha256, Size, networks


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the configuration; an unknown name in it is a mistake, never ignored."""


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
    """Where the catalog lies; the inboxes lie beside it, and leave `min_free_bytes` of the disk."""

    url: str = "sqlite:///holdfast-data/catalog.db"
    min_free_bytes: Size = 128 << 20
    allow_unsafe_sqlite: bool = False

    @property
    def path(self) -> Path:
        """The catalog's file, absolute."""
        return _sqlite_path(self.url)

    @property
    def folder(self) -> Path:
        """The archive's folder: the catalog, and all that lies beside it."""
        return self.path.parent

    @property
    def inbox_folder(self) -> Path:
        """The folder of the inbox files."""
        return self.folder / "inbox"


class Bucket(Section, frozen=True):
    """Where the bytes go: `file:relative/folder`, `file:///folder` or `s3://name[/prefix]`."""

    url: str = "file:holdfast-data/bucket"
    endpoint: str | None = None
    region: str | None = None


class Limits(Section, frozen=True):
    """What an account may submit, by its plan; 0 is no limit, and a price that is not known.

    `per_minute` counts requests, `parallel` generations under way, `per_day` those of 24 hours.
    `holdfast submit` warns beyond `warn_credits`, expected or spent; `holdfast status` warns when
    the last known balance has sunk to `low_credits`.
    """

    per_minute: Size = 0
    parallel: Size = 0
    per_day: Size = 0
    warn_credits: Size = 0
    low_credits: Size = 0
    credits_per_picture: Size = 0


class DoitongLimits(Limits, frozen=True):
    """Of the free plan, and the price of up to 1024x1024 pixels ("Rate limits", "Pricing")."""

    per_minute: Size = 10
    parallel: Size = 1
    per_day: Size = 100
    credits_per_picture: Size = 20


class ModelsLabLimits(Limits, frozen=True):
    """The vendor's page `rate-limits`: five requests in the queue of the smallest plan."""

    parallel: Size = 5


class DashScopeLimits(Limits, frozen=True):
    """The vendor's pages on limits: two submissions a second, and two tasks under way."""

    per_minute: Size = 120
    parallel: Size = 2


class Api(Section, frozen=True):
    """What every provider's table may say.

    `keys` are API keys by label, with which holdfast asks about generations of these accounts;
    `secrets` are of webhooks, by label, any of which verifies, so that they can rotate; the
    `…_file` of either names files by label instead, each holding one. `gateway`: clients may reach
    the provider through us. `heal`: the gateway answers for what the provider has "lost" (or even
    "failed") and we hold. `asks_per_second` bounds the questions to one account.
    """

    base_url: str = ""
    download_hosts: tuple[str, ...] = ()
    gateway: bool = False
    heal: Literal["off", "lost", "failed"] = "off"
    keys: dict[str, str] = {}
    keys_file: dict[str, str] = {}
    secrets: dict[str, str] = {}
    secrets_file: dict[str, str] = {}
    asks_per_second: Rate = 5.0
    limits: Limits = Limits()

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in self.__rich_repr__())
        return f"{type(self).__name__}({shown})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """What may be shown: of secrets their labels. msgspec's own would hide nothing."""
        shown = ((name, getattr(self, name)) for name in self.__struct_fields__)
        return [(name, sorted(it) if isinstance(it, Mapping) else it) for name, it in shown]


class Doitong(Api, frozen=True):
    """Doitong. `status_query` is the GraphQL document to ask with; without one nobody asks.

    No document describes such a query; one that the provider does not know is not asked again.
    """

    base_url: str = "https://api.doitong.com"
    download_hosts: tuple[str, ...] = ("cdn.doitong.com",)
    status_query: str = ""
    limits: DoitongLimits = DoitongLimits()


class ModelsLab(Api, frozen=True):
    """ModelsLab. Its webhooks are unsigned: the secrets make the unguessable end of their path."""

    base_url: str = "https://modelslab.com"
    download_hosts: tuple[str, ...] = ("modelslab.com", "stablediffusionapi.com")
    limits: ModelsLabLimits = ModelsLabLimits()


class DashScope(Api, frozen=True):
    """DashScope. `events`: EventBridge posts to `public_url` what has finished.

    The secrets are the tokens of its rules, of which an event must show one.
    """

    base_url: str = "https://dashscope.aliyuncs.com"
    # Of the vendor's list, any sub-domain of the object store: their accounts' buckets vary.
    download_hosts: tuple[str, ...] = ("aliyuncs.com",)
    # manage-asynchronous-tasks: 20 questions a second, over all the keys of an account.
    asks_per_second: Rate = 15.0
    limits: DashScopeLimits = DashScopeLimits()
    events: bool = False
    # Each whole: anyone may own a bucket whose name only ends like this.
    certificate_hosts: tuple[str, ...] = (
        "cn-beijing-eventbridge.oss-accelerate.aliyuncs.com",
        "ap-southeast-1-eventbridge.oss-accelerate.aliyuncs.com",
        "us-east-1-eventbridge.oss-accelerate.aliyuncs.com",
    )


class Providers(Section, frozen=True):
    """The providers that are heard from; a missing table means: not from this one."""

    doitong: Doitong | None = None
    modelslab: ModelsLab | None = None
    dashscope: DashScope | None = None

    def of(self, name: str) -> Api | None:
        """The table of that provider, if there is one."""
        return getattr(self, name) if name in self.__struct_fields__ else None

    @property
    def all(self) -> dict[str, Api]:
        """Every table that there is, by the provider's name."""
        named = ((name, self.of(name)) for name in self.__struct_fields__)
        return {name: api for name, api in named if api is not None}

    @property
    def behind_gateway(self) -> dict[str, Api]:
        """Those that clients may reach through us."""
        return {name: api for name, api in self.all.items() if api.gateway}


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
    """What fetching a result may do; looser settings are for tests and the demo."""

    allow_http: bool = False
    allow_ports: tuple[int, ...] = (443,)
    allow_cidrs: tuple[str, ...] = ()
    max_bytes: Count = 512 << 20

    @property
    def networks(self) -> tuple[Network, ...]:
        """`allow_cidrs`, parsed; raises ConfigError."""
        return networks(self.allow_cidrs, "egress.allow_cidrs")


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

    def __repr__(self) -> str:
        return f"Manifests(trusted_keys={sorted(self.trusted_keys)})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """What may be shown."""
        return [("trusted_keys", sorted(self.trusted_keys))]


class Keep(Section, frozen=True):
    """For how many days the bodies are kept of what was heard, and of what was refused."""

    keep_days: Days = 30.0


class Backup(Section, frozen=True):
    """How often catalog and inboxes are backed up, 0 being never, and how many backups stay."""

    every_hours: Hours = 24.0
    keep: Count = 7


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
    inbox: Keep = Keep()
    quarantine: Keep = Keep()
    tokens: dict[str, Token] = {}
    render: dict[str, Any] = {}


def _sqlite_path(url: str) -> Path:
    """Three slashes before a relative path and four before an absolute one, as is the custom."""
    path = url.removeprefix("sqlite:///")
    if path == url or not path:
        raise ConfigError(
            f"catalog.url = {url!r} is not sqlite:///relative/path or sqlite:////absolute/path"
        )
    return Path(path).absolute()
