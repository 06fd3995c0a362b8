"""The nouns: frozen values that every room passes to the next.

A noun here is what holdfast knows, never how it is stored or heard. Times are aware UTC datetimes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class GenerationState(StrEnum):
    """What the provider says of a generation; later members outrank earlier ones (`lifecycle`)."""

    QUEUED = "queued"
    RUNNING = "running"
    LOST = "lost"
    FAILED = "failed"
    CANCELED = "canceled"
    PARTIAL = "partial"
    SUCCEEDED = "succeeded"


class SlotState(StrEnum):
    """Where one expected output stands; derived from facts by `lifecycle.SLOT_LAW` alone."""

    EXPECTED = "expected"
    LINKED = "linked"
    ARCHIVED = "archived"
    RENDERED = "rendered"
    HELD = "held"
    DEAD = "dead"


class FailureClass(StrEnum):
    """What a failure permits us to do about it (the table of classes in the README)."""

    TRANSIENT = "transient"
    RENDERABLE = "renderable"
    DEAD = "dead"
    OPERATOR = "operator"
    POLICY = "policy"


class Heard(StrEnum):
    """The way a delivery reached us."""

    PUSHED = "pushed"
    POLLED = "polled"
    OVERHEARD = "overheard"
    REMEMBERED = "remembered"


class Origin(StrEnum):
    """Who drew an asset."""

    PROVIDER = "provider"
    FALLBACK = "fallback"


class Fault(StrEnum):
    """How bringing one link's bytes into the bucket went wrong; `retries` says what follows."""

    REFUSED = "refused"  # 401 or 403: expired, or a clock or signature out of step
    MISSING = "missing"  # 404
    GONE = "gone"  # 410
    THROTTLED = "throttled"  # 429
    SERVER = "server"  # 5xx, or any other answer that promises nothing
    NETWORK = "network"  # no connection, a reset, a time-out, too slow
    SHORT = "short"  # fewer or more bytes than declared, or a picture cut short
    DAMAGED = "damaged"  # not the bytes whose digest the source promised
    NOT_MEDIA = "not_media"  # complete, but neither a picture nor a video
    TOO_LARGE = "too_large"  # more bytes or more pixels than we accept
    FORBIDDEN = "forbidden"  # a host, port or address that the configuration does not allow
    OURS = "ours"  # the bucket or the disk failed, not the link


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryRef:
    """Where a delivery stands: the inbox's own UUID and the position inside it."""

    inbox: str
    position: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """One thing heard, as it was heard.

    `headers` are the wire's (name, value) pairs in order, secrets cut out; `body` is the wire's
    bytes (a content-encoding not undone) or None once pruned; `path_token` is what the path added
    (a token, or the generation's id for a remembered request).
    """

    ref: DeliveryRef
    source: str
    heard: Heard
    path_token: str
    received_at: datetime
    peer: str
    verified_by: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """Why something did not come, and what that permits."""

    failure_class: FailureClass
    code: str = ""
    message: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerationParams:
    """What was asked for, in nobody's dialect; None means that the request did not say.

    `task` is "text-to-image", "image-to-image", "inpainting" or the provider's own word for more.
    `loras`, `lora_strengths` and `embeddings` are lists in text, separated by commas.
    """

    task: str | None = None
    prompt: str | None = None
    negative_prompt: str | None = None
    model: str | None = None
    version: str | None = None
    width: int | None = None
    height: int | None = None
    samples: int | None = None
    steps: int | None = None
    guidance_scale: float | None = None
    seed: int | None = None
    scheduler: str | None = None
    karras_sigmas: bool | None = None
    clip_skip: int | None = None
    loras: str | None = None
    lora_strengths: str | None = None
    embeddings: str | None = None
    vae: str | None = None
    tomesd: bool | None = None
    panorama: bool | None = None
    self_attention: bool | None = None
    upscale: bool | None = None
    strength: float | None = None
    safety_checker: bool | None = None
    enhance_prompt: bool | None = None
    multi_lingual: bool | None = None
    quality: str | None = None


NOTHING_ASKED = GenerationParams()


@dataclass(frozen=True, kw_only=True, slots=True)
class SlotObservation:
    """What one delivery says of one slot: its full URL, or why there is none, or neither yet."""

    index: int
    url: str | None = None
    failure: Failure | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class InputObservation:
    """A picture that a request names, as its `init_image`, say; `url` is None if not by a link."""

    role: str
    url: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Observation:
    """What one delivery says about a generation; a provider's parser makes it from a Delivery.

    `unknown`: the provider says that it knows no such generation, be it purged or not yet there.
    `hint`: nothing is said but that asking would be worth it now.
    `odd_status` is the provider's word for the state where nobody knows it.
    `account` is the keyed fingerprint of the API key that was used, never the key.
    """

    provider: str
    generation_id: str
    state: GenerationState
    unknown: bool = False
    hint: bool = False
    odd_status: str | None = None
    account: str | None = None
    slots: tuple[SlotObservation, ...] = ()
    inputs: tuple[InputObservation, ...] = ()
    failure: Failure | None = None
    service: str | None = None
    params: GenerationParams = NOTHING_ASKED
    track_id: str | None = None
    cost: float | None = None
    created_at: datetime | None = None
    completed_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """A result URL with its expiry, known by digest and public part.

    The full URL is a key to the picture, so it is kept in one place only: the delivery `heard_in`
    (`receiver.inboxes` gets it back). `location` is the URL without user, query and fragment.
    `failure` is set once fetching it has come to a final bad end.
    """

    url_sha256: bytes
    location: str
    host: str
    expires_at: datetime
    heard_in: DeliveryRef
    failure: Failure | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendering:
    """How the fallback drew an asset: by what, where, from which seed, and how faithfully.

    `drawn_with` is a checkpoint's folder or owner/name@commit, `seed` the one that was used;
    `flagged`: the safety checker saw something, so the picture is kept but not shown; `notes` say
    what of the request was not honoured.
    """

    drawn_with: str
    software: str
    device: str
    seed: int
    flagged: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Undrawn:
    """Why a renderer did not draw a slot from `target`, the digest of all it would draw from.

    It holds as long as there is nothing else to draw from; `final`: no renderer tries by itself.
    """

    target: str
    reason: str
    final: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Asset:
    """One archived object: bytes in the bucket, and a row that says so."""

    origin: Origin
    sha256: bytes
    blob_key: str
    size_bytes: int
    media_type: str
    width: int | None
    height: int | None
    archived_at: datetime
    rendering: Rendering | None = None
    damaged: bool = field(default=False, compare=False)  # an audit found it gone or changed


@dataclass(frozen=True, kw_only=True, slots=True)
class Slot:
    """One expected output of a generation; `number` is its archive number, given once for ever.

    A slot with a `role` holds no output but a picture that the request named (`init_image` and the
    like); its index is negative. `asked`: how many links were known, and one more, when the last
    question to the provider brought no other, or 0. `undrawn`: why the last renderer drew nothing.
    """

    index: int
    role: str = ""
    number: int | None = None
    state: SlotState = SlotState.EXPECTED
    reason: str = ""
    failure: Failure | None = None
    asked: int = 0
    links: tuple[Link, ...] = ()
    assets: tuple[Asset, ...] = ()
    undrawn: Undrawn | None = None

    @property
    def leading_asset(self) -> Asset | None:
        """The provider's own picture if we have it, else what the fallback drew."""
        own = (asset for asset in self.assets if asset.origin is Origin.PROVIDER)
        return next(own, self.assets[0] if self.assets else None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Generation:
    """All that is known of one provider's job: every observation and outcome, merged.

    `account` is the keyed fingerprint of the API key that it belongs to; `hinted_at` is when
    somebody last said, who cannot be believed, that something has happened to it.
    """

    provider: str
    id: str
    account: str | None = None
    key: int | None = None
    state: GenerationState = GenerationState.QUEUED
    failure: Failure | None = None
    moderated: bool = False
    canceled: bool = False
    service: str | None = None
    params: GenerationParams = NOTHING_ASKED
    track_id: str | None = None
    cost: float | None = None
    created_at: datetime | None = None
    completed_at: datetime | None = None
    first_heard_at: datetime
    hinted_at: datetime | None = None
    revision: int = 0
    sealed_revision: int = 0
    slots: tuple[Slot, ...] = ()

    def slot(self, index: int) -> Slot | None:
        """The slot with this index, if anyone has spoken of it yet."""
        return next((slot for slot in self.slots if slot.index == index), None)
