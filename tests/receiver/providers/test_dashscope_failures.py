"""What DashScope's error codes permit, and what of their words is kept."""

from __future__ import annotations

import pytest

from archiver.models import Failure, FailureClass, GenerationState
from tests.receiver.providers.dashscope_bodies import URL, polled, task


def failed(code: object, message: object = "boom") -> Failure:
    """Why a task failed that ended with this code and message."""
    observation = task(task_status="FAILED", code=code, message=message)
    assert observation.state is GenerationState.FAILED
    assert observation.failure is not None
    return observation.failure


FREE = "Free allocated quota exceeded."
UNREACHABLE = "Unable to download the media resource during the data inspection process."

CLASSES: dict[FailureClass, list[tuple[object, str]]] = {
    FailureClass.OPERATOR: [
        ("InvalidApiKey", "Invalid API-key provided."),
        ("invalid_api_key", "Incorrect API key provided."),
        ("NOT AUTHORIZED", "Access denied: Either you are not authorized to access this workspace"),
        ("Arrearage", "Access denied, please make sure your account is in good standing."),
        ("AccessDenied", "current user api does not support synchronous calls."),
        ("AccessDenied.Unpurchased", "Access to model denied."),
        ("access_denied", "Access denied."),
        ("Model.AccessDenied", "Model access denied."),
        ("Workspace.AccessDenied", "Workspace access denied."),
        ("ModelNotFound", "The model does not exist."),
        ("model_not_found", "The model does not exist."),
        ("WorkSpaceNotFound", "WorkSpace can not be found."),
        ("AllocationQuota.FreeTierOnly", "The free tier of the model has been exhausted."),
        ("CommodityNotPurchased", "Commodity has not purchased yet."),
        ("PrepaidBillOverdue", "The prepaid bill is overdue."),
        ("PostpaidBillOverdue", "The postpaid bill is overdue."),
        ("Throttling.AllocationQuota", FREE),
        ("insufficient_quota", FREE),
        ("", "Invalid API key"),
    ],
    FailureClass.RENDERABLE: [
        ("InternalError", "An internal error has occured."),
        ("InternalError.Timeout", "An internal timeout error has occured during execution."),
        ("InternalError.Upload", "Failed to upload result."),
        ("InternalError.Algo", "inference internal error."),
        ("InternalError.FileUpload", "oss upload error."),
        ("internal_error", "An internal error has occured."),
        ("Throttling", "Requests throttling triggered."),
        ("Throttling.RateQuota", "Requests rate limit exceeded, please try again later."),
        ("Throttling.BurstRate", "Request rate increased too quickly."),
        ("Throttling.AllocationQuota", "Allocated quota exceeded, please increase your quota."),
        ("limit_requests", "You exceeded your current requests list."),
        ("RequestTimeOut", "Request timed out, please try again later."),
        ("SomethingNew", "boom"),
        (1013, "boom"),
        ("", "boom"),
    ],
    FailureClass.DEAD: [
        ("InvalidParameter", "The size is not match the allowed size ['1024*1024']"),
        ("InvalidParameter.Steps", "steps must be between 1 and 500"),
        ("invalidparameter", "The size is not match"),
        ("InvalidParameter.DataInspection", UNREACHABLE),
        ("InvalidURL", "The request URL is invalid, please check."),
        ("InvalidURL.ConnectionRefused", "Connection to the URL was refused."),
        ("InvalidImage.ImageSize", "The size of image is beyond limit."),
        ("InvalidImageFormat", "The format of image is not supported."),
        ("BadRequest.EmptyInput", "Required input parameter missing from request."),
        ("UnsupportedOperation", "The operation is unsupported on the referee object."),
    ],
    FailureClass.POLICY: [
        ("DataInspectionFailed", "Output data may contain inappropriate content."),
        ("data_inspection_failed", "Input data may contain inappropriate content."),
        ("DataInspectionFailed", "boom"),
        ("IPInfringementSuspect", "Input data is suspected of being involved in IP infringement."),
        ("InternalError", "Output data may contain inappropriate content."),
        ("InvalidParameter.DataInspection", "The picture shows inappropriate content."),
        ("", "Green net: sensitive content"),
    ],
}


@pytest.mark.parametrize(
    ("code", "message", "failure_class"),
    [(*said, failure_class) for failure_class, all_said in CLASSES.items() for said in all_said],
)
class TestClasses:
    """Keys, credit and models are the operator's; a bad request is nobody's to mend; a picture of
    the request that could not be loaded is no moderation; words of moderation outrank all.
    """

    def test_a_task(self, code: object, message: str, failure_class: FailureClass) -> None:
        """Of the whole task; the code and the words are kept."""
        assert failed(code, message) == Failure(
            failure_class=failure_class, code=str(code), message=message
        )

    def test_a_slot(self, code: object, message: str, failure_class: FailureClass) -> None:
        """Of one picture, while others came."""
        results = [{"url": URL}, {"code": code, "message": message}]
        _, slot = task(task_status="SUCCEEDED", results=results).slots

        assert slot.failure == Failure(failure_class=failure_class, code=str(code), message=message)


def test_a_failure_without_words() -> None:
    """It failed, and a poll has nothing more to ask for."""
    expected = Failure(failure_class=FailureClass.RENDERABLE, message="failed")

    assert failed(None, None) == expected
    assert failed(["a"], {"b": "c"}) == expected


def test_a_failure_above_the_output() -> None:
    """Where `output` has none, the answer's own code counts."""
    said = {"code": "InternalError", "message": "boom"}
    observation = polled({**said, "output": {"task_status": "FAILED"}})

    assert observation.failure == failed("InternalError", "boom")


def test_nothing_secret_is_kept() -> None:
    """A message may repeat a signed link, and be as long as a book."""
    found = failed(f"InvalidURL {URL}", f"cannot read {URL} " + "a" * 10_000)

    assert "secret" not in repr(found)
    assert found.failure_class is FailureClass.DEAD
    assert len(found.message) == 500
