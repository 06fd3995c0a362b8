"""What ModelsLab's answers deliver, and why they do not: the quirks of its lists and its prose."""

from __future__ import annotations

from base64 import b64encode

import pytest

from archiver.models import (
    Failure,
    FailureClass,
    GenerationState,
    Observation,
    SlotObservation,
)
from tests.receiver.providers.modelslab_bodies import (
    MIRROR,
    PRESIGNED,
    SECOND,
    SUBMIT,
    URL,
    answered,
    exchanged,
    fetched,
    pushed,
    submitted,
)

FLAGGED = Failure(
    failure_class=FailureClass.POLICY,
    code="nsfw_content_detected",
    message="flagged by the provider's safety checker",
)
LOST = Failure(
    failure_class=FailureClass.RENDERABLE, message="the provider delivered no link to this picture"
)
PNG = b64encode(b"\x89PNG\r\n\x1a\n" + bytes(range(40))).decode()
JPEG = b64encode(b"\xff\xd8\xff\xe0" + bytes(40)).decode()
WEBP = b64encode(b"RIFF\x00\x01\x02\x03WEBPVP8 " + bytes(40)).decode()
GIF = b64encode(b"GIF89a" + bytes(40)).decode()


def slot(index: int, url: str | None = None, failure: Failure | None = None) -> SlotObservation:
    return SlotObservation(index=index, url=url, failure=failure)


OUTPUTS: dict[str, tuple[dict[str, object], tuple[SlotObservation, ...]]] = {
    "a list": ({"output": [URL, SECOND]}, (slot(0, URL), slot(1, SECOND))),
    "a map": ({"output": {"1": SECOND, "0": URL}}, (slot(0, URL), slot(1, SECOND))),
    "a map by name": ({"output": {"image": URL}}, (slot(0, URL),)),
    "a text": ({"output": f" {URL}\n"}, (slot(0, URL),)),
    "a query is left alone": ({"output": [PRESIGNED]}, (slot(0, PRESIGNED),)),
    "an entry that is lost": ({"output": [URL, ""]}, (slot(0, URL), slot(1, None, LOST))),
    "a mirror": (
        {"output": [URL, SECOND], "proxy_links": [MIRROR]},
        (slot(0, URL), slot(1, SECOND), slot(0, MIRROR)),
    ),
    "mirrors in a map": (
        {"output": [URL, SECOND], "proxy_links": {"1": MIRROR}},
        (slot(0, URL), slot(1, SECOND), slot(1, MIRROR)),
    ),
    "a mirror is no further picture": (
        {"output": [URL], "proxy_links": [MIRROR, MIRROR, ""]},
        (slot(0, URL), slot(0, MIRROR)),
    ),
    "promises beside a success": (
        {"output": [URL], "future_links": [URL, SECOND], "fetch_result": SECOND},
        (slot(0, URL),),
    ),
    "a flag for each": (
        {"output": [URL, SECOND], "nsfw_content_detected": [False, True]},
        (slot(0, URL), slot(1, SECOND, FLAGGED)),
    ),
    "a flag for one that is withheld": (
        {"output": [URL], "nsfw_content_detected": ["no", "yes"]},
        (slot(0, URL), slot(1, None, FLAGGED)),
    ),
}

DATA: dict[str, tuple[str, str]] = {
    "png": (PNG, f"data:image/png;base64,{PNG}"),
    "jpeg": (JPEG, f"data:image/jpeg;base64,{JPEG}"),
    "webp": (WEBP, f"data:image/webp;base64,{WEBP}"),
    "gif": (GIF, f"data:image/gif;base64,{GIF}"),
    "in lines": (f"{PNG[:20]}\r\n{PNG[20:]}\n", f"data:image/png;base64,{PNG}"),
    "already a URL": (f"data:image/png;base64,{PNG}", f"data:image/png;base64,{PNG}"),
    "a URL of the wrong type": (f"DATA:text/html;base64,{PNG}", f"data:image/png;base64,{PNG}"),
}


class TestOutputs:
    """Where the pictures are."""

    @pytest.mark.parametrize(("says", "slots"), OUTPUTS.values(), ids=OUTPUTS)
    def test_a_success(self, says: dict[str, object], slots: tuple[SlotObservation, ...]) -> None:
        """Every shape of its lists; a slot without a link makes it a partial one."""
        observation = answered(status="success", **says)
        whole = {seen.index for seen in slots} == {seen.index for seen in slots if seen.url}

        assert observation.slots == slots
        assert observation.state is (
            GenerationState.SUCCEEDED if whole else GenerationState.PARTIAL
        )

    @pytest.mark.parametrize("output", ["", [], {}, None, 7, [None], [""], ["file.png"]])
    @pytest.mark.parametrize("status", ["success", "processing"])
    def test_nothing_to_fetch_yet(self, status: str, output: object) -> None:
        """A success without a link promises nothing, so it is asked again."""
        observation = answered(status=status, output=output, future_links=[URL, SECOND])

        assert observation.state is GenerationState.RUNNING
        assert [seen for seen in observation.slots if seen.url or seen.failure] == []

    @pytest.mark.parametrize("promised", [[URL, SECOND], {"0": URL, "1": SECOND}])
    def test_promises_are_counted(self, promised: object) -> None:
        """Until it is ready a promised link answers 404, so it is no link."""
        observation = submitted(
            {"status": "processing", "id": 7, "output": [], "future_links": promised}
        )

        assert observation.slots == (slot(0), slot(1))

    def test_a_mirror_of_nothing(self) -> None:
        """What is not delivered has no mirror."""
        assert answered(status="processing", output=[], proxy_links=[MIRROR]).slots == ()

    def test_too_many(self) -> None:
        """An index beyond any batch is noise."""
        assert len(answered(status="success", output=[URL] * 1000).slots) == 64
        assert answered(status="success", output={"64": URL}).slots == ()

    @pytest.mark.parametrize(("text", "url"), DATA.values(), ids=DATA)
    def test_base64(self, text: str, url: str) -> None:
        """A picture inline is a link to itself, of the type that its bytes begin with."""
        assert answered(status="success", output=[text]).slots == (slot(0, url),)

    @pytest.mark.parametrize(
        "text",
        [
            *("iVBO", "A", "AAAA" * 10, "iVBORw0KGgo!", "data:image/png", "data:,x", PNG + "é"),
            b64encode(b"RIFF\x00\x01\x02\x03WAVEfmt ").decode(),
        ],
    )
    def test_other_text_is_no_picture(self, text: str) -> None:
        """Nor is a sound, or nothing."""
        assert answered(status="success", output=[text]).slots == (slot(0),)

    @pytest.mark.parametrize("flag", [True, "true", "yes", 1])
    def test_flagged(self, flag: object) -> None:
        """One word for all: the pictures are fetched, and nothing of it is ever drawn."""
        shown = answered(status="success", output=[URL], nsfw_content_detected=flag)
        withheld = answered(status="success", output=[], nsfw_content_detected=flag)

        assert (shown.state, shown.failure) == (GenerationState.SUCCEEDED, FLAGGED)
        assert (withheld.state, withheld.failure) == (GenerationState.FAILED, FLAGGED)

    @pytest.mark.parametrize("flag", [False, "no", None, 0, "", [], [False], {}])
    def test_not_flagged(self, flag: object) -> None:
        """It is said of every picture."""
        observation = answered(status="success", output=[URL], nsfw_content_detected=flag)

        assert (observation.failure, observation.slots) == (None, (slot(0, URL),))


class TestStatus:
    """The word decides, and the HTTP status hardly ever."""

    @pytest.mark.parametrize(
        "word", ["processing", "queued", "pending", "PROCESSING ", "dreaming", "", None, 7]
    )
    def test_running(self, word: object) -> None:
        """What we do not know is still running."""
        assert answered(status=word, message="Try Again").state is GenerationState.RUNNING

    @pytest.mark.parametrize("http", [200, 400, 422, 500])
    @pytest.mark.parametrize("word", ["processing", "success"])
    def test_good_news_under_any_http_status(self, word: str, http: int) -> None:
        """A generation that is processing is answered with 400 at times."""
        state = GenerationState.SUCCEEDED if word == "success" else GenerationState.RUNNING

        assert answered(http=http, status=word, output=[URL]).state is state

    @pytest.mark.parametrize("word", ["failed", "error", "Failed"])
    @pytest.mark.parametrize("http", [200, 400])
    def test_failed(self, word: str, http: int) -> None:
        """An error is one under 200, too."""
        observation = answered(http=http, status=word, message="boom")

        assert observation.state is GenerationState.FAILED
        assert observation.failure == Failure(failure_class=FailureClass.RENDERABLE, message="boom")

    @pytest.mark.parametrize(
        ("http", "says"),
        [
            (200, {"status": "error", "message": "Rate limit exceeded"}),
            (200, {"status": "error", "message": "Invalid API key"}),
            (200, {"status": "error", "message": {"key": ["The key field is required."]}}),
            (401, {"status": "error", "message": "boom"}),
            (402, {"status": "error", "message": "boom"}),
            (404, {"message": "The route could not be found."}),
            (429, {"status": "error", "message": "boom", "retry_after": 30}),
            (500, {"status": "failed", "message": "boom"}),
            (503, {"message": "Server Error"}),
        ],
    )
    def test_trouble_of_the_asking(self, http: int, says: dict[str, object]) -> None:
        """It is no news of the generation: the next poll will know more."""
        assert fetched(http=http, **says) == ()

    @pytest.mark.parametrize(
        ("http", "says"),
        [
            (200, {"status": "error", "message": "Request not found"}),
            (200, {"status": "error", "message": "Request ID does not exist."}),
            (200, {"status": "error", "messege": "Invalid request id"}),
            (200, {"status": "error", "message": "invalid request_id"}),
            (200, {"status": "failed", "id": "", "message": "No such request", "output": ""}),
            (400, {"status": "error", "message": {"request_id": ["The selected id is invalid."]}}),
            (404, {"status": "error", "message": "boom"}),
            (404, {}),
        ],
    )
    def test_unknown(self, http: int, says: dict[str, object]) -> None:
        """Purged, not yet there, or another's: no news of the generation but that."""
        assert fetched(http=http, **says) == (
            Observation(
                provider="modelslab",
                generation_id="302455",
                state=GenerationState.RUNNING,
                unknown=True,
            ),
        )

    @pytest.mark.parametrize(
        ("http", "says"),
        [
            (200, {"status": "failed", "message": "Model id not found"}),
            (200, {"status": "error", "message": "Model not found: invalid_model_name"}),
            (
                200,
                {"status": "error", "message": {"model_id": ["The selected model id is invalid"]}},
            ),
            (200, {"status": "failed", "message": "init_image not found"}),
            (404, {"status": "error", "message": "API key not found"}),
            (404, {"message": "The route api/v6/fetch could not be found."}),
            (404, {"status": "processing", "message": "Request not found"}),
            (404, {"status": "failed", "message": "Try again"}),
            (404, {"status": "success", "output": [URL]}),
            (500, {"status": "error", "message": "Request not found"}),
            (429, {"status": "error", "message": "No such request"}),
        ],
    )
    def test_not_unknown(self, http: int, says: dict[str, object]) -> None:
        """What is said of the model, of the address or by a server in trouble is something else."""
        assert not any(seen.unknown for seen in fetched(http=http, **says))

    def test_unknown_by_whose_id(self) -> None:
        """Without an id nothing is unknown; in a submission, nothing either."""
        says = {"status": "error", "message": "Request not found", "id": 302455}

        assert exchanged("/api/v6/images/fetch", says) == ()
        assert not any(seen.unknown for seen in exchanged(SUBMIT, {**says, "output": ""}))

    def test_an_error_of_a_submission(self) -> None:
        """With an id it is the generation's own end, and a passing trouble may be drawn."""
        says = {"status": "error", "id": 7, "output": "", "message": "Server error, try again"}
        (observation,) = exchanged(SUBMIT, says, request={"prompt": "a"}, status=500)

        assert observation.params.prompt == "a"
        assert observation.state is GenerationState.FAILED
        assert observation.failure == Failure(
            failure_class=FailureClass.RENDERABLE, code="500", message="Server error, try again"
        )


CLASSES: dict[FailureClass, list[object]] = {
    FailureClass.RENDERABLE: [
        *("Failed, Try Again", "Try Again", "timeout", "Connection timed out", "boom", None, ""),
        *("Internal server error. Please try again.", "Rate limit exceeded", "CUDA out of memory"),
        "Service temporarily unavailable. Please try again later.",
    ],
    FailureClass.DEAD: [
        *("Processing failed: Invalid input dimensions", "prompt is required"),
        *("Model id not found", "Model not found: invalid_model_name"),
        *("width must be between 256 and 1024", "Unable to fetch image from provided URL"),
        {"prompt": ["The prompt field is required."]},
        {"prompt": "odd"},
    ],
    FailureClass.OPERATOR: [
        *("Invalid Api Key", "Invalid API key", "This feature requires a premium subscription"),
        "Insufficient credits. Please add more credits to continue.",
        "Your subscription has expired, try again",
    ],
    FailureClass.POLICY: [
        *("NSFW content detected", "child content is not allowed", "Invalid input: nsfw"),
        "Your account will be suspended",
        {"prompt": ["sexual content"]},
    ],
}


class TestFailure:
    """They say it in prose."""

    @pytest.mark.parametrize(
        ("message", "failure_class"),
        [(message, name) for name, messages in CLASSES.items() for message in messages],
    )
    def test_the_words_decide(self, message: object, failure_class: FailureClass) -> None:
        """A failed generation is drawn, unless the words tell otherwise; policy always wins."""
        found = answered(status="failed", message=message).failure

        assert found is not None
        assert found.failure_class is failure_class

    @pytest.mark.parametrize("http", [401, 402, 403])
    def test_the_http_status_helps(self, http: int) -> None:
        """Key, credit and plan are the operator's."""
        found = answered(http=http, status="failed", message="boom").failure

        assert found == Failure(failure_class=FailureClass.OPERATOR, code=str(http), message="boom")

    @pytest.mark.parametrize(
        ("says", "message"),
        [
            ({"messege": "boom"}, "boom"),
            ({"message": "", "messege": "boom"}, "boom"),
            ({"message": None, "tips": "boom"}, "boom"),
            ({"tip": "boom"}, "boom"),
            ({"tip_1": "boom"}, "boom"),
            ({"error": "boom", "tip": "bang"}, "boom"),
            ({"message": {"a": ["b.", "c."], "d": "e."}}, "b. c. e."),
            ({"message": ["b.", 7, "c."]}, "b. c."),
            ({"message": 7}, "failed"),
            ({}, "failed"),
        ],
    )
    def test_wherever_they_stand(self, says: dict[str, object], message: str) -> None:
        """`message`, misspelt or not, a text or one for each field, else a tip."""
        found = answered(status="failed", **says).failure

        assert found is not None
        assert found.message == message

    @pytest.mark.parametrize("message", [f"cannot read {PRESIGNED}", "x" * 480 + PRESIGNED])
    def test_no_secret_and_no_essay(self, message: str) -> None:
        """The message goes into logs and manifests."""
        found = answered(status="failed", message={"init_image": [message]}).failure

        assert found is not None
        assert "secret" not in repr(found)
        assert len(answered(status="failed", message="m" * 10**6).failure.message) == 500


class TestOddStatus:
    """Words for the state that no page and no client has told us of."""

    @pytest.mark.parametrize(
        ("status", "odd"),
        [
            *(("success", None), ("Succeeded", None), ("completed", None)),
            *(("processing", None), (" queued\n", None), ("pending", None), ("running", None)),
            *(("failed", None), ("ERROR", None)),
            *((None, None), ("", None), (" ", None), (7, None), ([], None)),
            *(("polishing", "polishing"), (" Almost done ", "almost done")),
        ],
    )
    def test_words(self, status: object, odd: str | None) -> None:
        """They are told of, wherever they stand, and mean that it is under way."""
        said = {"id": 302455, "status": status, "output": [], "message": "boom"}
        observations = (submitted(said), answered(**said), *pushed(said))

        assert [observation.odd_status for observation in observations] == [odd] * 3
        if odd is not None:
            states = {observation.state for observation in observations}
            assert states == {GenerationState.RUNNING}
