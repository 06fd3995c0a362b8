"""Doitong's webhooks and requests: as documented, and as the documents leave open."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta

import pytest

from archiver.errors import UnreadableError
from archiver.models import (
    GenerationParams,
    GenerationState,
    Observation,
    SlotObservation,
)
from receiver.providers.doitong import DOITONG
from receiver.signatures import DOITONG_HEADER, Verifier
from tests.receiver.providers.doitong_bodies import URL, pushed, remembered, webhook
from tests.receiver.providers.samples import SAMPLE_SECRET, cases, sample

SERVICES = ("stable-diffusion", "flux-pro")
PROMPT = "A futuristic city with flying cars and neon lights"
ASKED = GenerationParams(prompt=PROMPT, width=1024, height=1024)

# What each documented way of asking says beyond prompt and size: (version, quality).
REQUESTS: dict[str, tuple[str | None, str | None]] = {
    "generate-curl-stable-diffusion": (None, None),
    "generate-curl-flux-pro": (None, None),
    "generate-python-stable-diffusion": (None, None),
    "generate-python-flux-pro": (None, None),
    "generate-options-stable-diffusion": ("sd-2.1", "high"),
    "generate-options-flux-pro": ("flux-pro-1.1", "high"),
    "generate-variables-stable-diffusion": ("sd-2.1", "high"),
    "generate-variables-flux-pro": ("flux-pro-1.1", "high"),
    "generate-image-javascript-stable-diffusion": (None, None),
    "generate-image-javascript-flux-pro": (None, None),
    "rest-stable-diffusion": ("sd-xl", None),
    "rest-flux-pro": ("flux-pro-1.1", None),
}
# The answers are the subject of `test_doitong_exchanges`.
ANSWERS = ("answer-processing", "answer-completed", "answer-insufficient-credits")


class TestDocumented:
    """The documents' own examples."""

    @pytest.mark.parametrize("service", SERVICES)
    def test_webhook(self, service: str) -> None:
        """All it says is taken, but for the size: the template says 1920 x 1080 for a square."""
        assert pushed(sample(f"doitong/webhook-{service}").body) == Observation(
            provider="doitong",
            generation_id="abc123xyz",
            state=GenerationState.SUCCEEDED,
            slots=(SlotObservation(index=0, url=URL),),
            service=service,
            created_at=datetime(2024, 1, 1, 0, 0, tzinfo=UTC),
            completed_at=datetime(2024, 1, 1, 0, 1, tzinfo=UTC),
        )

    @pytest.mark.parametrize("service", SERVICES)
    def test_webhook_is_signed(self, service: str) -> None:
        """The sample's header is one that the receiver believes."""
        headers, body = sample(f"doitong/webhook-{service}")
        verdict = Verifier(DOITONG_HEADER, {"documented": SAMPLE_SECRET}).verify(headers, body)

        assert verdict.verified_by == "documented"

    @pytest.mark.parametrize("case", REQUESTS)
    def test_request(self, case: str) -> None:
        """Every way of asking that the documents show says what was asked for, and of whom."""
        version, quality = REQUESTS[case]
        observation = remembered(json.loads(sample(f"doitong/{case}").body))

        assert observation == Observation(
            provider="doitong",
            generation_id="abc123xyz",
            state=GenerationState.QUEUED,
            service=next(service for service in SERVICES if case.endswith(service)),
            params=GenerationParams(
                prompt=PROMPT, width=1024, height=1024, version=version, quality=quality
            ),
        )

    def test_no_sample_lies_unread(self) -> None:
        """Each file of the samples is the subject of a test above."""
        others = ("webhook", *ANSWERS)
        read = {*REQUESTS, *(f"{case}-{service}" for case in others for service in SERVICES)}

        assert cases("doitong") == sorted(f"doitong/{case}" for case in read)

    def test_a_link_lives_for_a_day(self) -> None:
        """No document says how long, so what its neighbours promise is assumed."""
        assert timedelta(hours=24) == DOITONG.link_lifetime


ODD = ("polishing", "almost completed")
STATES: dict[GenerationState, list[object]] = {
    GenerationState.SUCCEEDED: [
        *("completed", "complete", "succeeded", "success", "done", "ready", "finished"),
        *("COMPLETED", " Completed\n"),
        # The `generateImage` form has no status at all: a url means success.
        *(None, "", 200, {}),
    ],
    GenerationState.RUNNING: [
        *("processing", "pending", "queued", "in_progress", "starting", "running", "created"),
        *("PROCESSING", *ODD),
    ],
    GenerationState.FAILED: [
        *("failed", "failure", "error", "errored", "rejected", "expired", "timeout", "FAILED"),
    ],
    GenerationState.CANCELED: ["canceled", "cancelled", "Cancelled"],
}


class TestStatus:
    """Two words are documented; the others are the field's."""

    @pytest.mark.parametrize(
        ("status", "state"),
        [(status, state) for state, words in STATES.items() for status in words],
    )
    def test_with_a_url(self, status: object, state: GenerationState) -> None:
        """The word decides, in any case; the url is a link to fetch whatever it says."""
        observation = webhook(status=status, url=URL)

        assert observation.state is state
        assert observation.slots == (SlotObservation(index=0, url=URL),)
        assert (observation.failure is not None) == (state is GenerationState.FAILED)

    @pytest.mark.parametrize("status", [status for words in STATES.values() for status in words])
    def test_odd_words(self, status: object) -> None:
        """A word that nobody knows is told of; one that is missing, or no text, is none."""
        odd = status if status in ODD else None

        assert webhook(status=status, url=URL).odd_status == odd
        assert webhook(status=status).odd_status == odd

    @pytest.mark.parametrize("status", STATES[GenerationState.SUCCEEDED])
    @pytest.mark.parametrize(
        "url", [None, "", " ", 7, "ftp://cdn.doitong.com/a.png", "/a.png", [URL]]
    )
    def test_success_without_a_url(self, status: object, url: object) -> None:
        """There is nothing to fetch yet, so it is taken for running; a later word may bring it."""
        observation = webhook(status=status, url=url)

        assert observation.state is GenerationState.RUNNING
        assert observation.slots == (SlotObservation(index=0),)

    def test_a_url_is_taken_as_it_stands(self) -> None:
        """White space around it is no part of it; its query is, to the last character."""
        url = "HTTP://cdn.doitong.com/a b.png?Signature=%2B%2f+=&x=%zz"
        (slot,) = webhook(url=f"\t{url}\n").slots

        assert slot.url == url


class TestTolerance:
    """What the documents leave open, read in the only way that it can be meant."""

    @pytest.mark.parametrize(
        ("generation_id", "expected"),
        [("AbC", "AbC"), (" abc ", " abc "), (17, "17"), (-1, "-1"), (10**25, str(10**25))],
    )
    def test_an_id_is_opaque(self, generation_id: object, expected: str) -> None:
        """Text as it is, its case and spaces too; a number is its text."""
        assert webhook(id=generation_id).generation_id == expected

    @pytest.mark.parametrize("generation_id", [None, "", " ", True, 1.5, [], {"id": "a"}])
    def test_no_id_is_unreadable(self, generation_id: object) -> None:
        """A webhook that names no generation can be kept, but not be understood."""
        with pytest.raises(UnreadableError, match="names no generation"):
            webhook(id=generation_id)

    @pytest.mark.parametrize(
        ("says", "expected"),
        [
            ({"service": "flux-pro"}, "flux-pro"),
            ({"provider": "flux-pro"}, "flux-pro"),
            ({"service": " ", "provider": "flux-pro"}, "flux-pro"),
            ({"service": "sd-xl", "provider": "flux-pro"}, "sd-xl"),
            ({"service": 7}, None),
            ({"service": " ", "provider": ""}, None),
            ({}, None),
        ],
    )
    def test_service_or_provider(self, says: dict[str, object], expected: str | None) -> None:
        """Two names of one thing; the first that says something."""
        assert webhook(**says).service == expected
        assert remembered({"prompt": "a", **says}).service == expected

    @pytest.mark.parametrize(
        ("cost", "expected"),
        [
            *((15, 15.0), (12.5, 12.5), (0, 0.0), (-3, -3.0)),
            *((None, None), (True, None), (1e15, None), (-(10**300), None)),
            *(("15", 15.0), ("many", None), ("nan", None)),
        ],
    )
    def test_cost(self, cost: object, expected: float | None) -> None:
        """A number of credits; null where the query did not ask for it."""
        assert webhook(creditCost=cost).cost == expected

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("2024-01-01T00:01:00Z", datetime(2024, 1, 1, 0, 1, tzinfo=UTC)),
            ("2024-01-01T08:01:00+08:00", datetime(2024, 1, 1, 0, 1, tzinfo=UTC)),
            (" 2024-01-01T00:01:00.250", datetime(2024, 1, 1, 0, 1, 0, 250_000, tzinfo=UTC)),
            ("2024-01-01", datetime(2024, 1, 1, tzinfo=UTC)),
            ("0001-01-01T00:00:00+14:00", None),
            ("yesterday", None),
            ("", None),
            (1704067200, None),
            (None, None),
        ],
    )
    def test_times(self, text: object, expected: datetime | None) -> None:
        """ISO 8601 with or without a zone, UTC where there is none; anything else is not said."""
        observation = webhook(createdAt=text, completedAt=text)

        assert observation.created_at == expected
        assert observation.completed_at == expected

    def test_times_do_not_depend_on_where_we_stand(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A time without a zone is UTC in Shanghai, too."""
        with monkeypatch.context() as elsewhere:
            elsewhere.setenv("TZ", "CST-8")
            time.tzset()
            observation = webhook(createdAt="2024-01-01T00:01:00")
        time.tzset()

        assert observation.created_at == datetime(2024, 1, 1, 0, 1, tzinfo=UTC)

    @pytest.mark.parametrize(
        "metadata", [None, {}, {"width": 1920, "duration": None}, '{"width": 1920}', 7, "{"]
    )
    def test_metadata_says_nothing_of_the_request(self, metadata: object) -> None:
        """An object, JSON in a string, or null: none of it is what was asked for."""
        assert webhook(url=URL, metadata=metadata) == webhook(url=URL)
        assert webhook(metadata=metadata).params == GenerationParams()

    @pytest.mark.parametrize(
        ("width", "expected"),
        [
            *((1024, 1024), ("1024", 1024), (" 1024 ", 1024), (10**9 - 1, 10**9 - 1), (1, 1)),
            *((0, None), (-1, None), (10**9, None), (1024.0, None), (True, None), ([1024], None)),
            *(("-1", None), ("1024px", None), ("١٠٢٤", None), ("9" * 5000, None), (None, None)),
        ],
    )
    def test_sizes(self, width: object, expected: int | None) -> None:
        """Whole pixels, also as text; what no picture could measure is not said."""
        params = remembered({"prompt": "a", "width": width, "height": width}).params

        assert (params.width, params.height) == (expected, expected)

    @pytest.mark.parametrize(
        "document",
        [
            {"prompt": PROMPT, "width": 1024, "height": 1024},
            {"input": {"prompt": PROMPT, "width": 1024, "height": 1024}},
            {"input": {"input": {"text": PROMPT}, "options": {"width": 1024, "height": "1024"}}},
            {"variables": json.dumps({"input": {"prompt": PROMPT, "width": 1024, "height": 1024}})},
            {"variables": {}, "prompt": f" {PROMPT}\n", "options": {"width": 1024, "height": 1024}},
            {"prompt": PROMPT, "width": 512, "options": {"width": 1024, "height": 1024}},
            {"prompt": PROMPT, "options": None, "width": 1024, "height": 1024, "seed": 7},
        ],
    )
    def test_requests_of_every_shape(self, document: dict[str, object]) -> None:
        """Flat or nested, in GraphQL's variables or alone, options in their place or not."""
        assert remembered(document).params == ASKED

    @pytest.mark.parametrize(
        "document",
        [
            *({}, {"prompt": ""}, {"prompt": " "}, {"prompt": 7}),
            *({"input": {"input": {"text": None}}}, {"variables": {"input": []}}),
        ],
    )
    def test_a_request_without_a_prompt_is_unreadable(self, document: dict[str, object]) -> None:
        """There would be nothing to remember."""
        with pytest.raises(UnreadableError, match="no prompt"):
            remembered(document)


@pytest.mark.parametrize("wrap", ["variables", "input", "bare"])
def test_an_input_may_come_unwrapped(wrap: str) -> None:
    """Who keeps only the input of `generate` is understood as well as who keeps the whole."""
    given = {"type": "IMAGE", "provider": "flux-pro", "input": {"text": PROMPT}, "options": {}}
    wrapped = {"variables": {"variables": {"input": given}}, "input": {"input": given}}

    observation = remembered(wrapped.get(wrap, given))

    assert (observation.service, observation.params.prompt) == ("flux-pro", PROMPT)
