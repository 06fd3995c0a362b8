"""ModelsLab's documents: its endpoints, its requests, its answers and its webhooks."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from urllib.parse import urlencode

import pytest

from archiver.errors import UnreadableError
from archiver.models import (
    Failure,
    FailureClass,
    GenerationParams,
    GenerationState,
    Heard,
    InputObservation,
    Observation,
    SlotObservation,
)
from receiver.providers.modelslab import MODELSLAB
from tests.receiver.providers.modelslab_bodies import (
    FETCH,
    SECOND,
    SUBMIT,
    URL,
    answered,
    exchanged,
    pushed,
    remembered,
    submitted,
)
from tests.receiver.providers.samples import cases, sample

REQUEST = sample("modelslab/enterprise-request").body
SUCCESS = sample("modelslab/enterprise-success").body
ASKED = GenerationParams(
    task="text-to-image",
    prompt=json.loads(REQUEST)["prompt"],
    negative_prompt=json.loads(REQUEST)["negative_prompt"],
    model="model_id",
    width=512,
    height=512,
    samples=1,
    steps=20,
    guidance_scale=7.5,
    scheduler="UniPCMultistepScheduler",
    karras_sigmas=True,
    clip_skip=2,
    tomesd=True,
    panorama=False,
    self_attention=False,
    upscale=False,
    safety_checker=False,
    enhance_prompt=True,
    multi_lingual=False,
)
DRAWN = replace(
    ASKED,
    model="runwayml/stable-diffusion-v1-5",
    seed=1793745243,
    vae="stabilityai/sd-vae-ft-mse",
)
PICTURE = SlotObservation(
    index=0,
    url="https://d1okzptojspljx.cloudfront.net/generations/05c3260d-6a2e-4aa5-82f0-e952f2a5fa10-0.png",
)

# The errors of `modelslab-overview`: none names a generation.
ERRORS = (
    "error-rate-limit",
    "error-invalid-key",
    "failed",
    "error-validation",
    "error-model-id",
)


class TestDocumented:
    """The documents' own examples."""

    def test_submission(self) -> None:
        """What was drawn is taken over what was asked, but for the negative prompt."""
        says = submitted(SUCCESS, REQUEST, path="/api/v1/enterprise/text2img")

        assert says == Observation(
            provider="modelslab",
            generation_id="302455",
            state=GenerationState.SUCCEEDED,
            slots=(PICTURE,),
            service="v1/enterprise/text2img",
            params=DRAWN,
        )

    def test_request(self) -> None:
        """The request alone, as somebody remembered it."""
        assert remembered(REQUEST) == Observation(
            provider="modelslab",
            generation_id="302455",
            state=GenerationState.QUEUED,
            params=ASKED,
        )

    @pytest.mark.parametrize("case", ERRORS)
    def test_a_submission_that_failed(self, case: str) -> None:
        """There is no id, so there is no generation to speak of."""
        assert exchanged(SUBMIT, sample(f"modelslab/{case}").body, request=REQUEST) == ()

    @pytest.mark.parametrize("case", sorted({*ERRORS} - {"failed"}))
    def test_a_fetch_that_failed(self, case: str) -> None:
        """Rate, key and fields are the asker's trouble, not the generation's..."""
        answer = sample(f"modelslab/{case}").body
        if case == "error-model-id":
            (says,) = exchanged(FETCH, answer)
            expected = Failure(failure_class=FailureClass.DEAD, message="Model id not found")
            assert (says.state, says.failure) == (GenerationState.FAILED, expected)
        else:
            assert exchanged(FETCH, answer) == ()

    def test_a_generation_that_failed(self) -> None:
        """...while `failed` is the generation's own, though the answer does not repeat its id."""
        (says,) = exchanged(FETCH, sample("modelslab/failed").body)

        assert says == Observation(
            provider="modelslab",
            generation_id="302455",
            state=GenerationState.FAILED,
            failure=Failure(failure_class=FailureClass.RENDERABLE, message="Failed, Try Again"),
        )

    def test_no_sample_lies_unread(self) -> None:
        """Each file of the samples is the subject of a test above."""
        read = {*ERRORS, "enterprise-request", "enterprise-success"}

        assert cases("modelslab") == sorted(f"modelslab/{case}" for case in read)

    def test_a_link_lives_for_a_day(self) -> None:
        """That is the promise for temporary ones, and there is no other."""
        assert timedelta(hours=24) == MODELSLAB.link_lifetime


SUBMISSIONS: dict[str, tuple[str, str | None]] = {
    "/api/v3/text2img": ("text-to-image", "v3/text2img"),
    "/api/v3/img2img?x=1": ("image-to-image", "v3/img2img"),
    "/api/v4/dreambooth": ("text-to-image", "v4/dreambooth"),
    "/api/v4/dreambooth/inpaint": ("inpainting", "v4/dreambooth/inpaint"),
    "/api/v5/controlnet": ("controlnet", "v5/controlnet"),
    "/api/v6/images/text2img": ("text-to-image", "v6/images/text2img"),
    "/api/v6/images/inpaint/": ("inpainting", "v6/images/inpaint"),
    "/api/v7/images/text-to-image": ("text-to-image", "v7/images/text-to-image"),
    "/api/v1/enterprise/flux/text2img": ("text-to-image", "v1/enterprise/flux/text2img"),
    "/api/v1/enterprise/images/img2img": ("image-to-image", "v1/enterprise/images/img2img"),
    "/before/api/v6/image_editing/outpaint": ("outpaint", "v6/image_editing/outpaint"),
    "/elsewhere/text2img": ("text-to-image", None),
}
FETCHES = [
    *("/api/v3/fetch/302455", "/api/v3/dreambooth/fetch/302455", "/api/v4/dreambooth/fetch"),
    *("/api/v6/images/fetch", "/api/v6/images/fetch/302455", "/api/v6/realtime/fetch/302455?x"),
    *("/api/v6/image_editing/fetch/302455", "/api/v7/images/fetch/302455", "/x/fetch/302455/"),
    *("/api/v1/enterprise/fetch", "/api/v1/enterprise/flux/fetch/302455"),
    "/api/v1/enterprise/images/fetch/302%34%355",
]


class TestEndpoints:
    """Every version has its own paths, and all end alike."""

    @pytest.mark.parametrize("path", SUBMISSIONS)
    def test_submission(self, path: str) -> None:
        """The end says what kind of drawing it is, all from the version on which service."""
        says = submitted({"status": "processing", "id": 7, "eta": 2.5}, path=path)

        assert (says.params.task, says.service) == SUBMISSIONS[path]
        assert (says.generation_id, says.state) == ("7", GenerationState.RUNNING)

    @pytest.mark.parametrize("request_id", [302455, "302455"])
    @pytest.mark.parametrize("path", FETCHES)
    def test_fetch(self, path: str, request_id: object) -> None:
        """The path names the generation, or the body does."""
        request = {"request_id": request_id}
        (says,) = exchanged(path, {"status": "success", "output": [URL]}, request=request)

        assert says == Observation(
            provider="modelslab",
            generation_id="302455",
            state=GenerationState.SUCCEEDED,
            slots=(SlotObservation(index=0, url=URL),),
        )

    def test_a_fetch_whose_answer_alone_names_the_generation(self) -> None:
        """The path and the body come first, then the answer."""
        (says,) = exchanged("/api/v6/images/fetch", {"status": "processing", "id": 302455})

        assert says.generation_id == "302455"

    @pytest.mark.parametrize(
        ("path", "answer"),
        [
            ("/api/v4/dreambooth/model_list", [{"model_id": "midjourney"}]),
            ("/api/v1/enterprise/clear_queue", {"status": "success", "message": "cleared"}),
            ("/api/v3/fine_tune", {"status": "success", "id": 7, "training_status": "queued"}),
            ("/api/v6/voice/text_to_speech", {"status": "success", "id": 7, "output": [URL]}),
            ("/api/v6/images/fetch", {"status": "processing"}),
            ("/api/v6/images/fetch", b"nonsense"),
            ("/", {"status": "success", "id": 7, "output": []}),
            ("", {"status": "success", "id": 7, "output": []}),
            (SUBMIT, b"<html>502 Bad Gateway</html>"),
            (SUBMIT, {"status": "success", "output": [URL]}),
        ],
    )
    def test_what_is_no_generation_of_ours(self, path: str, answer: object) -> None:
        """It says nothing, and is no error."""
        assert exchanged(path, answer) == ()

    @pytest.mark.parametrize("answer", [b"", b"[]", b"nonsense", b"\xff"])
    def test_an_unreadable_answer(self, answer: bytes) -> None:
        """It is kept with the reason when it should have spoken of a generation."""
        with pytest.raises(UnreadableError, match="the body is"):
            exchanged(FETCH, answer)

    @pytest.mark.parametrize(
        ("answer", "status"), [(b"", 429), (b"nonsense", 503), (b"\n<!doctype html>", 200)]
    )
    def test_a_passing_trouble(self, answer: bytes, status: int) -> None:
        """The next poll will know more."""
        assert exchanged(FETCH, answer, status=status) == ()

    def test_an_answer_to_an_unreadable_request(self) -> None:
        """It says what was drawn all the same."""
        (says,) = exchanged(SUBMIT, SUCCESS, request=b'{"prompt": ')

        assert says.params == replace(
            DRAWN,
            **dict.fromkeys(
                ["negative_prompt", "karras_sigmas", "clip_skip", "tomesd", "enhance_prompt"]
            ),
        )


class TestRequests:
    """JSON or a form; numbers and yes and no in any spelling."""

    def test_a_form(self) -> None:
        """Form-encoded it says the same as in JSON."""
        said = {name: value for name, value in json.loads(REQUEST).items() if value is not None}
        form = urlencode({**said, "prompt": "ein schönes Bild & mehr"}).encode()

        assert remembered(form).params == replace(ASKED, prompt="ein schönes Bild & mehr")
        assert submitted({"id": 7, "eta": 1}, form).params == remembered(form).params

    def test_real_numbers_and_booleans(self) -> None:
        """The newer documents ask for these."""
        request = {
            "prompt": "a", "width": 512, "samples": 2, "guidance_scale": 7, "seed": "18446744073",
            "safety_checker": True, "upscale": False, "strength": "0.7", "track_id": 12,
            "lora_model": ["a", " b "], "lora_strength": [0.5, 1], "embeddings_model": "c,d",
        }  # fmt: skip
        says = remembered(request)

        assert says.track_id == "12"
        assert says.params == GenerationParams(
            task="text-to-image",
            prompt="a",
            width=512,
            samples=2,
            guidance_scale=7.0,
            seed=18446744073,
            safety_checker=True,
            upscale=False,
            strength=0.7,
            loras="a,b",
            lora_strengths="0.5,1",
            embeddings="c,d",
        )

    @pytest.mark.parametrize("seed", [None, -1, "null", "", 1.5, 2**63, "123456789012345678901"])
    def test_no_seed(self, seed: object) -> None:
        """Anything else means a random one, which only the answer's `meta` can tell."""
        request = {"prompt": "a", "seed": seed}

        assert remembered(request).params.seed is None
        answer = {"id": 7, "eta": 1, "meta": {"seed": 0}}
        assert submitted(answer, request).params.seed == 0

    def test_inputs(self) -> None:
        """Pictures named, by link or not, and a list is several; `no` is a word for none."""
        request = {
            "init_image": [URL, SECOND],
            "mask_image": URL,
            "control_image": "iVBORw0KGgo",
            "face_image": "No",
            "reference_image": "",
            "webhook": "https://example.org/",
        }
        expected = (
            InputObservation(role="init_image", url=URL),
            InputObservation(role="init_image", url=SECOND),
            InputObservation(role="mask_image", url=URL),
            InputObservation(role="control_image", url=None),
        )

        assert remembered(request).inputs == expected
        assert submitted({"id": 7, "eta": 1}, request).inputs == expected

    @pytest.mark.parametrize(
        ("request_", "task"),
        [
            ({"prompt": "a"}, "text-to-image"),
            ({"prompt": "a", "init_image": URL}, "image-to-image"),
            ({"init_image": URL, "mask_image": URL}, "inpainting"),
            ({"init_image": URL, "controlnet_model": "canny"}, "controlnet"),
            ({"width": 512}, None),
        ],
    )
    def test_the_task_of_a_remembered_request(
        self, request_: dict[str, object], task: str | None
    ) -> None:
        """No path says it, but the pictures do."""
        assert remembered(request_).params.task == task

    def test_a_form_beyond_belief(self) -> None:
        """No request has so many fields."""
        with pytest.raises(UnreadableError, match="no form"):
            remembered(b"&".join(b"prompt=a" for _ in range(1000)))

    @pytest.mark.parametrize("request_", [{}, {"key": "k"}, b"", b"\x00", b"[1]", {"prompt": " "}])
    def test_nothing_to_remember(self, request_: object) -> None:
        """A request without anything to draw from is not understood."""
        with pytest.raises(UnreadableError, match="no prompt"):
            remembered(request_)

    def test_an_enhanced_prompt(self) -> None:
        """What was drawn is what `meta` says; what was not wanted is what the request says."""
        says = submitted(
            {
                "id": 7,
                "eta": 1,
                "meta": {"prompt": "a cat, 8k", "negative_prompt": "dog, ((ugly))"},
            },
            {"prompt": "a cat", "negative_prompt": "dog"},
        )

        assert (says.params.prompt, says.params.negative_prompt) == ("a cat, 8k", "dog")


class TestWebhooks:
    """Nobody signs them: they are hints, confirmed by a poll."""

    @pytest.mark.parametrize(
        ("says", "count"),
        [
            ({"status": "success", "output": [URL, SECOND], "proxy_links": [URL]}, 2),
            ({"status": "success", "output": "", "future_links": [URL]}, 1),
            ({"status": "success", "output": [URL], "nsfw_content_detected": [True]}, 1),
            ({"status": "failed", "message": "NSFW", "nsfw_content_detected": True}, 0),
            ({"status": "processing", "output": []}, 0),
        ],
    )
    @pytest.mark.parametrize("generation_id", [302455, "302455"])
    def test_a_hint(self, generation_id: object, says: dict[str, object], count: int) -> None:
        """Its slots are counted; neither its links nor its verdict are believed."""
        document = {"id": generation_id, "track_id": "t", "meta": {"seed": 5}, **says}

        assert pushed(document) == (
            Observation(
                provider="modelslab",
                generation_id="302455",
                state=GenerationState.RUNNING,
                hint=True,
                slots=tuple(SlotObservation(index=index) for index in range(count)),
                params=GenerationParams(seed=5),
                track_id="t",
            ),
        )

    def test_a_workflow_is_no_generation(self) -> None:
        """Its envelope is acknowledged and says nothing to us."""
        envelope = {
            "event": "workflow.completed",
            "workflow": {"id": "wf_abc123"},
            "execution": {"id": "exec_xyz789", "output_data": {"images": [URL]}},
        }

        assert pushed(envelope) == ()

    def test_a_failure_of_nobody(self) -> None:
        """The documented failure has an empty id."""
        assert pushed(sample("modelslab/failed").body) == ()

    @pytest.mark.parametrize("document", [{}, {"id": None}, {"id": [7]}, {"event": "x"}])
    def test_no_id_is_unreadable(self, document: dict[str, object]) -> None:
        """Whatever else it says."""
        with pytest.raises(UnreadableError, match="names no generation"):
            pushed(document)


def test_polled_and_overheard_are_alike() -> None:
    """Both are the provider's own answer."""
    answer = {"status": "success", "output": [URL]}

    assert exchanged(FETCH, answer, heard=Heard.OVERHEARD) == (answered(**answer),)


def test_what_was_drawn_is_read_from_any_answer() -> None:
    """Most answers to a fetch have no `meta`; one that has is heard."""
    assert answered(status="processing", meta={"seed": "5"}).params == GenerationParams(seed=5)


@pytest.mark.parametrize("track_id", ["t", 12])
def test_a_track_id_is_the_clients_own(track_id: object) -> None:
    """The answer may repeat it; the request has it anyway."""
    asked = submitted({"id": 7, "eta": 1}, {"prompt": "a", "track_id": track_id})
    repeated = submitted({"id": 7, "eta": 1, "track_id": track_id})

    assert asked.track_id == repeated.track_id == str(track_id)
