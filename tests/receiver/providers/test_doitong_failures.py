"""A failed webhook, which no document of Doitong shows."""

from __future__ import annotations

import pytest

from archiver.models import (
    Failure,
    FailureClass,
    GenerationState,
)
from tests.receiver.providers.doitong_bodies import PRESIGNED, URL, webhook


def failure(failure_class: FailureClass, code: str = "", message: str = "failed") -> Failure:
    return Failure(failure_class=failure_class, code=code, message=message)


CREDITS = "Insufficient credits for this operation"
# Where an error may stand, and what it then is.
FAILURES: dict[str, tuple[dict[str, object], Failure]] = {
    "nowhere": ({}, failure(FailureClass.RENDERABLE)),
    "error, a text": ({"error": "boom"}, failure(FailureClass.RENDERABLE, "", "boom")),
    "error, an object": (
        {"error": {"code": "INTERNAL_SERVER_ERROR", "message": "boom"}},
        failure(FailureClass.RENDERABLE, "INTERNAL_SERVER_ERROR", "boom"),
    ),
    "errors, as documented": (
        {
            "errors": [
                {
                    "message": CREDITS,
                    "extensions": {
                        "code": "INSUFFICIENT_CREDITS",
                        "creditsRequired": 100,
                        "creditsAvailable": 50,
                    },
                }
            ]
        },
        failure(FailureClass.OPERATOR, "INSUFFICIENT_CREDITS", CREDITS),
    ),
    "errors, the first that says something": (
        {"errors": [None, {}, {"message": " "}, {"message": "boom"}, {"message": "bang"}]},
        failure(FailureClass.RENDERABLE, "", "boom"),
    ),
    "errors, no list": ({"errors": "boom"}, failure(FailureClass.RENDERABLE)),
    "errorMessage": ({"errorMessage": "boom"}, failure(FailureClass.RENDERABLE, "", "boom")),
    "message": ({"message": "boom"}, failure(FailureClass.RENDERABLE, "", "boom")),
    "several texts, the first of them": (
        {"message": "bang", "error": "boom"},
        failure(FailureClass.RENDERABLE, "", "boom"),
    ),
    "reason": ({"reason": "boom"}, failure(FailureClass.RENDERABLE, "", "boom")),
    "metadata": ({"metadata": {"error": "boom"}}, failure(FailureClass.RENDERABLE, "", "boom")),
    "metadata, as JSON in a string": (
        {"metadata": ' {"error": {"code": 402}}'},
        failure(FailureClass.OPERATOR, "402"),
    ),
    "metadata, broken": ({"metadata": '{"error": '}, failure(FailureClass.RENDERABLE)),
    "metadata, beyond all depth": (
        {"metadata": '{"error": ' + "[" * 100_000},
        failure(FailureClass.RENDERABLE),
    ),
    "metadata, a list": ({"metadata": ["boom"]}, failure(FailureClass.RENDERABLE)),
    "credit, in words only": (
        {"message": CREDITS},
        failure(FailureClass.OPERATOR, "", CREDITS),
    ),
    "a daily limit": (
        {"error": "Daily limit reached"},
        failure(FailureClass.OPERATOR, "", "Daily limit reached"),
    ),
    "code": ({"code": 400}, failure(FailureClass.DEAD, "400")),
    "errorCode over code": (
        {"errorCode": "UNAUTHENTICATED", "code": 400},
        failure(FailureClass.OPERATOR, "UNAUTHENTICATED"),
    ),
    "a text, and its code elsewhere": (
        {"error": "boom", "metadata": {"error": {"code": "BAD_USER_INPUT"}}},
        failure(FailureClass.DEAD, "BAD_USER_INPUT", "boom"),
    ),
}

CLASSES: dict[FailureClass, list[object]] = {
    FailureClass.OPERATOR: [
        *("INSUFFICIENT_CREDITS", "UNAUTHENTICATED", "UNAUTHORIZED", "FORBIDDEN"),
        *(401, 402, "402", "insufficient_credits"),
    ],
    FailureClass.DEAD: [400, "BAD_USER_INPUT", "GRAPHQL_VALIDATION_FAILED"],
    FailureClass.POLICY: ["CONTENT_POLICY", "NSFW", "DATA_INSPECTION_FAILED"],
    FailureClass.RENDERABLE: ["INTERNAL_SERVER_ERROR", 500, 503, "SOMETHING_NEW", None, 0],
}

MODERATION = [
    *("NSFW content detected", "Blocked by the safety checker", "moderation", "content policy"),
    *("Content-Policy violation", "Output may contain inappropriate content", "sensitive content"),
    *("sexual", "depicts a child", "CSAM", "IP infringement", "IPInfringementSuspect"),
    *("copyright", "DataInspectionFailed", "data_inspection_failed", "your prompt was flagged"),
    "blocked by our very own filter",
]


class TestFailure:
    """No document shows a failed webhook."""

    @pytest.mark.parametrize(("says", "expected"), FAILURES.values(), ids=FAILURES)
    def test_wherever_the_error_stands(self, says: dict[str, object], expected: Failure) -> None:
        """It is found; one that says nothing at all may be drawn."""
        assert webhook(status="failed", **says).failure == expected

    @pytest.mark.parametrize(
        ("code", "failure_class"),
        [(code, name) for name, codes in CLASSES.items() for code in codes],
    )
    def test_a_code_says_whose_fault_it_is(self, code: object, failure_class: FailureClass) -> None:
        """Credit and keys are the operator's, a bad request nobody's to mend, all else drawable."""
        found = webhook(status="failed", error={"code": code}).failure

        assert found is not None
        assert found.failure_class is failure_class

    @pytest.mark.parametrize("message", MODERATION)
    @pytest.mark.parametrize("code", ["", "INSUFFICIENT_CREDITS", "400"])
    def test_policy_wins(self, message: str, code: str) -> None:
        """A word of moderation outranks any code, in any case."""
        for text in (message, message.upper()):
            found = webhook(status="failed", error={"code": code, "message": text}).failure

            assert found == failure(FailureClass.POLICY, code, text)

    @pytest.mark.parametrize("message", ["out of memory", "grandchildren", "safe"])
    def test_ordinary_words_are_no_moderation(self, message: str) -> None:
        """What merely looks like one of them is a fault like any other."""
        found = webhook(status="failed", error=message).failure

        assert found == failure(FailureClass.RENDERABLE, "", message)

    @pytest.mark.parametrize(
        "says",
        [
            {"error": f"cannot write {PRESIGNED}"},
            {"errors": [{"message": f"cannot write {PRESIGNED}"}]},
            {"metadata": {"error": f"cannot write {PRESIGNED}"}},
            {"error": {"code": PRESIGNED, "message": PRESIGNED}},
            {"error": "x" * 480 + PRESIGNED},
        ],
    )
    def test_a_presigned_url_is_no_part_of_it(self, says: dict[str, object]) -> None:
        """The message goes into logs and manifests, the key to a picture does not."""
        found = webhook(status="failed", **says).failure

        assert found is not None
        assert "https://cdn.do" in f"{found.code} {found.message}"
        assert "secret" not in repr(found)

    def test_it_is_kept_short(self) -> None:
        """Nobody reads a stack trace of a megabyte in a table."""
        found = webhook(
            status="failed", error={"code": "c" * 10**6, "message": "m" * 10**6}
        ).failure

        assert found == failure(FailureClass.RENDERABLE, "c" * 500, "m" * 500)

    def test_only_a_failure_has_one(self) -> None:
        """A success may carry any message it likes."""
        assert webhook(status="completed", url=URL, message="no nsfw found").failure is None


@pytest.mark.parametrize(
    ("document", "state"),
    [
        ({"error": "boom"}, GenerationState.FAILED),
        ({"errors": [{"message": "boom"}]}, GenerationState.FAILED),
        ({"error": None}, GenerationState.RUNNING),
        ({"error": "boom", "url": URL}, GenerationState.SUCCEEDED),
        ({"error": "boom", "status": "processing"}, GenerationState.RUNNING),
    ],
)
def test_errors_without_a_status(document: dict[str, object], state: GenerationState) -> None:
    """An error and neither status nor link is a failure; a status or a link says otherwise."""
    assert webhook(**document).state is state
