"""What providers and we prove ourselves with: secrets of webhooks, API keys, tokens."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from hashlib import sha256
from ipaddress import ip_address

from archiver.inbox.lately import MOST_ROWS, lately
from archiver.inbox.quarantine import refused
from receiver.config import host_and_port
from receiver.doctor.finding import Judged, fail, ok, warn
from receiver.doctor.patient import Patient
from receiver.hearing import DAY, Disbelief, SecretUse, disbelieved, labels_of, secret_use
from receiver.provider_tables import Api
from receiver.settings import Config, Token
from receiver.stores import inboxes_of

# Of secrets that we made ourselves; what a provider's dashboard gives is its own affair.
_OF_OUR_OWN = ("modelslab", "dashscope")
_SHORT = 16

# What people type for the time being, and as `echo` gives it.
_WORDS = (
    "", "admin", "changeme", "holdfast", "letmein", "password", "read", "reader", "secret", "test",
    "token", "worker",
)  # fmt: skip
_GUESSED = {
    sha256(f"{word}{end}".encode()).hexdigest(): word for word in _WORDS for end in ("", "\n")
}
_NOBODYS = "0" * 64

# What shows whether a secret is the right one, and what it is to be compared with.
_SEND = "`holdfast send` tries it"
_TRIES = {
    "modelslab": "the next generation through the gateway or `holdfast submit` tries it",
    "dashscope": "the next event that your rule in EventBridge sends tries it",
}
_MEND = (
    "compare providers.{provider}.secrets with {where}, put the right one in, reload the service "
    "(`systemctl reload holdfast`, or SIGHUP), then {after}"
)
_DASHBOARD = "the provider's dashboard"
_REVERIFY = "`holdfast deliveries reverify`"
# Of a path's token nothing is kept that could be verified again.
_OTHERWISE = {
    "modelslab": (
        "what the webhooks' addresses were made with",
        "see that providers.modelslab.keys has a key, so that what was refused is asked for",
    ),
    "dashscope": ("your rule in EventBridge", _REVERIFY),
}


def secrets(patient: Patient) -> Iterator[Judged]:
    """Whether every secret of webhooks is there, strong enough, and used."""
    config = patient.config
    weak = [
        f"providers.{name}.secrets.{label}"
        for name, api in config.providers.all.items()
        if name in _OF_OUR_OWN
        for label, secret in api.secrets.items()
        if len(secret) < _SHORT
    ]
    for setting in weak:
        yield warn(
            f"{setting} is shorter than {_SHORT} characters, and may be guessed",
            "`head -c 32 /dev/urandom | base64` makes a better one",
        )
    if not patient.has_archive:
        return
    with patient.tables() as tables:
        heard = lately(
            inboxes_of(config.catalog),
            since=patient.now() - DAY,
            reached=tables.deliveries.position,
        )
    for sentence in heard.unreadable:
        yield fail(sentence)
    used = secret_use(heard.found, labels_of(config.providers))
    yield from judge_use(used, heard_any=bool(heard.found))
    refusals = refused(config.catalog.inbox_folder / "quarantine.db")
    yield from judge_refusals(disbelieved(refusals, used, now=patient.now()))


def judge_use(used: Sequence[SecretUse], *, heard_any: bool) -> Iterator[Judged]:
    """The secrets, each with when it last verified a webhook, if anything came at all."""
    for one in used:
        name = f"{one.provider}'s secret {one.label}"
        if one.last_at is None:
            none = f"has verified none of the newest {MOST_ROWS:,} deliveries"
            yield warn(
                f"{name} {none if heard_any else 'is untried, as nothing has come yet'}",
                f"{_TRIES.get(one.provider, _SEND)}; if the provider proves itself with another, "
                "put that in its place; if it is an old one, take it out",
            )
        else:
            gone = "" if one.configured else ", and is configured no more"
            yield ok(f"{name} verified a webhook at {one.last_at:%Y-%m-%d %H:%M} UTC{gone}")


def judge_refusals(found: Sequence[Disbelief]) -> Iterator[Judged]:
    """Webhooks that were refused since the last that was verified."""
    for one in found:
        said = (
            f"the newest webhooks of {one.provider}, until {one.last_at:%Y-%m-%d %H:%M} UTC, were "
            "answered 401, made with none of our secrets: ours is wrong, or it was a forger "
            f"({one.count:,} lie in the quarantine)"
        )
        where, after = _OTHERWISE.get(one.provider, (_DASHBOARD, _REVERIFY))
        cure = _MEND.format(provider=one.provider, where=where, after=after)
        if one.alone:
            yield fail(f"{said}, and within the last hour none was verified", cure)
        else:
            yield warn(said, cure)


def keys(patient: Patient) -> Iterator[Judged]:
    """Whether providers can be asked, as far as a key shows without asking."""
    for name, api in patient.config.providers.all.items():
        yield from judge_keys(name, api)


def judge_keys(name: str, api: Api) -> Iterator[Judged]:
    """The API keys of one provider."""
    for label, key in api.keys.items():
        if not key or not key.isascii() or not key.isprintable() or " " in key:
            yield fail(
                f"providers.{name}.keys.{label} is empty, or has in it what no key has",
                "copy it once more from the provider's console",
            )
    if api.keys:
        labels = ", ".join(api.keys)
        yield ok(f"providers.{name}.keys has {labels}; --online asks whether they are good")
    elif api.gateway or name != "doitong":
        yield warn(
            f"providers.{name}.keys is empty, so nobody is asked what no webhook tells",
            "put an API key of the account there",
        )


def doors(patient: Patient) -> Iterator[Judged]:
    """Whether anybody may come in who should not."""
    yield from judge_tokens(patient.config.tokens, patient.config.gateway.clients)
    yield from judge_networks(
        {
            "listen.trusted_proxies": patient.config.listen.trusted_proxies,
            "gateway.allow_cidrs": patient.config.gateway.allow_cidrs,
        }
    )
    yield from judge_public_url(patient.config)


def judge_tokens(tokens: Mapping[str, Token], clients: Mapping[str, str]) -> Iterator[Judged]:
    """Tokens of the private listener and of the gateway, of which only digests are known."""
    named = {f"tokens.{label}": token.sha256 for label, token in tokens.items()}
    named |= {f"gateway.clients.{label}": digest for label, digest in clients.items()}
    bad = False
    for setting, digest in named.items():
        word = _GUESSED.get(digest.lower())
        if word is not None:
            bad = True
            yield fail(
                f"{setting} is the digest of {word!r}, which anybody guesses",
                "`head -c 32 /dev/urandom | base64` makes a better one",
            )
        elif digest == _NOBODYS:
            bad = True
            yield warn(f"{setting} is all zeros, which no secret has", "put in the digest of one")
    if not named:
        yield ok("there are no tokens, so whoever reaches the private listener is believed")
    elif not bad:
        yield ok(f"none of the tokens {', '.join(named)} is easily guessed")


def judge_networks(settings: Mapping[str, Collection[str]]) -> Iterator[Judged]:
    """Networks whose word is believed."""
    wide = [name for name, cidrs in settings.items() if any(map(_is_everybody, cidrs))]
    for name in wide:
        yield fail(
            f"{name} believes everybody, so anybody may say who he is",
            "name the networks of your own proxies and clients alone",
        )
    if not wide:
        yield ok("no network of strangers is believed")


def judge_public_url(config: Config) -> Iterator[Judged]:
    """Where providers are told to send webhooks, and where the listeners stand."""
    if config.public_url.startswith("http://"):
        yield warn(
            f"public_url = {config.public_url!r} is not https, so webhooks can be read on their "
            "way, and links with them",
            "put a TLS proxy before the public listener",
        )
    elif config.public_url:
        yield ok(f"webhooks come to {config.public_url}")
    host, _ = host_and_port(config.listen.public, "listen.public")
    if not _is_loopback(host):
        yield warn(
            f"listen.public = {config.listen.public!r} can be reached without TLS",
            "let it stand on 127.0.0.1 behind a TLS proxy that sets X-Forwarded-For",
        )


def _is_everybody(cidr: str) -> bool:
    return cidr.endswith("/0")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
