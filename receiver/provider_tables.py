"""The tables `[providers.…]` of the configuration: whom holdfast speaks with, and on what terms."""

from __future__ import annotations

from typing import Literal

from receiver.measures import Rate, Size
from receiver.sections import Section


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
