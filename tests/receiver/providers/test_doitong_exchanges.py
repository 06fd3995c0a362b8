"""What is overheard of Doitong, or asked of it: a request and its answer."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from archiver.errors import UnreadableError
from archiver.models import (
    FailureClass,
    GenerationParams,
    GenerationState,
    Heard,
    Observation,
    SlotObservation,
)
from receiver.exchange import Exchange, encode
from receiver.providers.base import Balance
from receiver.providers.doitong import DOITONG
from receiver.providers.doitong_credits import read_balance
from tests.receiver.providers.doitong_bodies import PRESIGNED, URL, as_bytes, exchanged
from tests.receiver.providers.samples import sample

RUNNING, SUCCEEDED = GenerationState.RUNNING, GenerationState.SUCCEEDED
SERVICES = ("stable-diffusion", "flux-pro")
PROMPT = "A futuristic city with flying cars and neon lights"
CREATED_AT = datetime(2024, 1, 1, tzinfo=UTC)

GENERATE = "mutation Generate($input: GenerateInput!) { generate(input: $input) { id status url } }"
IMAGE = "mutation I($input: ImageGenerationInput!) { generateImage(input: $input) { id url } }"
STATUS = "query S($id: ID!) { generation(id: $id) { id status url } }"
NESTED = {
    "type": "IMAGE",
    "provider": "flux-pro",
    "input": {"text": "a fox"},
    "options": {"width": 512},
}
FLAT = {"service": "flux-pro", "prompt": "a fox", "width": 512}
FOX = GenerationParams(prompt="a fox", width=512)
BEGUN = {"id": "abc123xyz", "status": "processing", "url": None}
DONE = {"id": "abc123xyz", "status": "completed", "url": URL}


def submission(query: str, answer: object, **variables: object) -> tuple[Observation, ...]:
    return exchanged({"query": query, "variables": variables}, answer)


def asked(answer: object, *, query: str = STATUS, status: int = 200) -> tuple[Observation, ...]:
    request = {"query": query, "variables": {"id": "abc123xyz"}}
    return exchanged(request, answer, status=status, heard=Heard.POLLED)


def said(found: tuple[Observation, ...]) -> list[tuple[str, str | None, str | None]]:
    """Of each observation its id, prompt and link."""
    return [(it.generation_id, it.params.prompt, it.slots[0].url) for it in found]


class TestDocumented:
    """Every documented request with every documented answer."""

    @pytest.mark.parametrize("service", SERVICES)
    @pytest.mark.parametrize(
        ("request_case", "path", "version", "quality"),
        [
            ("generate-curl", "/graphql", None, None),
            ("generate-python", "/graphql", None, None),
            ("generate-variables", "/graphql", True, "high"),
            ("generate-image-javascript", "/graphql", None, None),
            ("rest", "/v1/text_to_image", True, None),
        ],
    )
    @pytest.mark.parametrize("heard", [Heard.OVERHEARD, Heard.POLLED])
    def test_begun(
        self, service: str, request_case: str, path: str, version: bool, quality: str, heard: Heard
    ) -> None:
        """The parameters are the request's, the id and the state the answer's."""
        versions = {
            "flux-pro": "flux-pro-1.1",
            "stable-diffusion": "sd-xl" if request_case == "rest" else "sd-2.1",
        }
        found = exchanged(
            sample(f"doitong/{request_case}-{service}").body,
            sample(f"doitong/answer-processing-{service}").body,
            path=path,
            heard=heard,
        )

        assert found == (
            Observation(
                provider="doitong",
                generation_id="abc123xyz",
                state=RUNNING,
                slots=(SlotObservation(index=0),),
                service=service,
                params=GenerationParams(
                    prompt=PROMPT,
                    width=1024,
                    height=1024,
                    version=versions[service] if version else None,
                    quality=quality,
                ),
                created_at=CREATED_AT,
            ),
        )

    @pytest.mark.parametrize("service", SERVICES)
    def test_completed(self, service: str) -> None:
        """The same answer, once the picture is there, has its link."""
        answer = sample(f"doitong/answer-completed-{service}").body
        (observation,) = exchanged(sample(f"doitong/generate-curl-{service}").body, answer)

        assert (observation.state, observation.created_at) == (SUCCEEDED, CREATED_AT)
        assert observation.slots == (SlotObservation(index=0, url=URL),)

    @pytest.mark.parametrize("service", SERVICES)
    @pytest.mark.parametrize("status", [200, 402])
    def test_refused(self, service: str, status: int) -> None:
        """No id, nothing to keep it under; only what it says of the credit."""
        answer = sample(f"doitong/answer-insufficient-credits-{service}").body
        request = sample(f"doitong/generate-curl-{service}").body
        refused = Exchange(
            method="POST", path="/graphql", request=request, status=status, answer=answer
        )

        assert DOITONG.parse(Heard.OVERHEARD, "", encode(refused)) == ()
        assert read_balance(refused) == Balance(required=100.0, available=50.0)


class TestSubmissions:
    """Rules 1 to 5 of what the documents leave open, and 13."""

    @pytest.mark.parametrize(
        "data",
        [
            {"generate": BEGUN},
            {"generateImage": BEGUN},
            {"generateimage": BEGUN},
            {"job": BEGUN},
            {"credits": 12, "job": BEGUN, "other": None},
        ],
    )
    @pytest.mark.parametrize(("query", "form"), [(GENERATE, NESTED), (IMAGE, FLAT)])
    def test_the_answer_under_any_name(self, data: object, query: str, form: object) -> None:
        """Its own, a documented one, or the only object there is."""
        (observation,) = submission(query, {"data": data}, input=form)

        assert observation.generation_id == "abc123xyz"
        assert (observation.service, observation.params) == ("flux-pro", FOX)

    def test_alias(self) -> None:
        """The answer stands under it, whatever stands beside it."""
        query = GENERATE.replace("generate(", "fox: generate(")
        data = {"generate": {"id": "other"}, "fox": BEGUN}

        assert said(submission(query, {"data": data}, input=NESTED)) == [
            ("abc123xyz", "a fox", None)
        ]

    @pytest.mark.parametrize(
        "query",
        [
            'mutation { generateImage(input: {service: "flux-pro" prompt: "a fox", width: 512}) }',
            'mutation { generateImage(service: "flux-pro", prompt: "a fox", width: 512) { id } }',
            """mutation { generate(input: {type: IMAGE, provider: "flux-pro",
            input: {text: "a fox"}, options: {width: 512}}) { id } }""",
            "mutation M($it: I!) { generateImage(input: $it) { id } }",
            "mutation M($s: S, $p: S) { generateImage(service: $s, prompt: $p, width: $w) { id } }",
            """mutation M($p: S) { generate(input: {provider: $s, input: {text: $p},
            options: {width: $w}}) { id } }""",
        ],
    )
    def test_parameters_wherever_they_are_written(self, query: str) -> None:
        """In variables by any name, in the query, or in both."""
        variables = {"it": FLAT, "s": "flux-pro", "p": "a fox", "w": 512}
        (observation,) = submission(query, {"data": {"generate": BEGUN}}, **variables)

        assert (observation.service, observation.params) == ("flux-pro", FOX)

    def test_several_in_one_document(self) -> None:
        """Each has its own parameters and its own answer; what failed of them has none."""
        query = """mutation Many($a: I!, $b: I!) {
            a: generate(input: $a) { id url }
            b: generateImage(input: $b) { id url }
            c: generateImage(input: {prompt: "a hen"}) { id url }
            generateImage(input: {prompt: "an owl"}) { id url }
            cancel(id: "x") { id }
        }"""
        answers = {
            "a": {"id": "1"},
            "b": None,
            "c": {"id": "3", "url": URL},
            "generateimage": {"id": "4"},
            "cancel": {"id": "x"},
        }
        errors = [{"message": "Rate limit exceeded", "path": ["b"]}]
        found = submission(query, {"data": answers, "errors": errors}, a=NESTED, b=FLAT)

        assert said(found) == [("1", "a fox", None), ("3", "a hen", URL), ("4", "an owl", None)]
        assert [it.state for it in found] == [RUNNING, SUCCEEDED, RUNNING]

    def test_no_answer_is_lent_to_another(self) -> None:
        """Among several the generic names and the shared variables are of one of them only."""
        query = """mutation($input: I!) {
            fox: generateImage(input: $input) { id }
            hen: generate { id }
            generate(input: {input: {text: "an owl"}}) { id }
        }"""
        answers = {"fox": {"id": "1"}, "hen": {"id": "2"}, "generate": {"id": "3"}}
        found = submission(query, {"data": answers}, input=FLAT)
        missing = submission(query, {"data": {"generate": {"id": "3"}}}, input=FLAT)

        assert said(found) == [("1", "a fox", None), ("2", None, None), ("3", "an owl", None)]
        assert said(missing) == [("3", "an owl", None)]

    def test_several_documents(self) -> None:
        """A list of requests is answered by a list, in the same order."""
        requests = [
            {"query": GENERATE, "variables": {"input": NESTED}},
            {"query": IMAGE, "variables": {"input": {**FLAT, "prompt": "a hen"}}},
            {"query": STATUS, "variables": {"id": "3"}},
        ]
        answers = [
            {"data": {"generate": {"id": "1"}}},
            {"errors": [{"message": "no"}]},
            {"data": {"generation": {"id": "3", "status": "completed", "url": URL}}},
        ]

        assert said(exchanged(requests, answers)) == [("1", "a fox", None), ("3", None, URL)]

    def test_the_operation_that_was_named(self) -> None:
        """Others may stand beside it in the document."""
        query = f"{STATUS} {IMAGE}"
        request = {"query": query, "operationName": "I", "variables": {"input": FLAT}}

        assert said(exchanged(request, {"data": {"generateImage": BEGUN}})) == [
            ("abc123xyz", "a fox", None)
        ]

    def test_errors_beside_an_id_are_warnings(self) -> None:
        """The generation has been accepted, whatever HTTP's status is."""
        answer = {"data": {"generate": BEGUN}, "errors": [{"message": "Deprecated"}]}
        request = {"query": GENERATE, "variables": {"input": NESTED}}
        (observation,) = exchanged(request, answer, status=500)

        assert (observation.state, observation.failure) == (RUNNING, None)

    @pytest.mark.parametrize(
        ("answer", "state"),
        [
            ({"id": "a", "url": None}, RUNNING),
            ({"id": "a", "url": PRESIGNED, "width": 1024}, SUCCEEDED),
            ({"id": "a", "status": "COMPLETED"}, RUNNING),
            ({"id": "a", "status": "polishing", "url": PRESIGNED}, RUNNING),
            (
                {"id": "a", "status": "failed", "error": {"code": "CONTENT_POLICY"}},
                GenerationState.FAILED,
            ),
        ],
    )
    def test_states(self, answer: object, state: GenerationState) -> None:
        """As in webhooks: the form without a status succeeds by its link."""
        (observation,) = submission(IMAGE, {"data": {"generateImage": answer}}, input=FLAT)

        assert observation.state is state

    def test_cost(self) -> None:
        """Credits, where the query asked for them."""
        answer = {"data": {"generate": {**BEGUN, "creditCost": 15}}}
        (observation,) = submission(GENERATE, answer, input=NESTED)

        assert observation.cost == 15.0

    def test_a_reason_beside_the_id(self) -> None:
        """What ended it stands in it, or in its metadata written as text."""
        failed = {"id": "a", "status": "failed", "metadata": '{"error": "flagged as NSFW"}'}
        (observation,) = submission(IMAGE, {"data": {"generateImage": failed}}, input=FLAT)

        assert observation.failure is not None
        assert observation.failure.failure_class is FailureClass.POLICY

    @pytest.mark.parametrize(
        "request_", [b"", b"mutation {", {"id": "a persisted query"}, [7], {"query": 7}]
    )
    def test_a_request_that_cannot_be_read(self, request_: object) -> None:
        """Was read by the provider: its answer counts."""
        assert said(exchanged(request_, {"data": {"generate": DONE}})) == [("abc123xyz", None, URL)]
        assert exchanged(request_, {"data": {"viewer": {"id": "u"}}}) == ()

    @pytest.mark.parametrize(
        "answer",
        [
            *(b"", b"<html>502 Bad Gateway</html>", b"null", b"[]", b'"a"', {}, {"data": None}),
            {"data": {"generate": None}},
            {"data": {"generate": {"id": None, "status": "processing"}}},
            {"data": {"generate": {"status": "failed", "error": "no"}}},
            {"data": {"a": {"status": "processing"}, "b": {"url": None}}},
            {"errors": [{"message": "Invalid", "extensions": {"code": "BAD_USER_INPUT"}}]},
        ],
    )
    def test_without_an_id(self, answer: object) -> None:
        """There is nothing to keep it under."""
        assert submission(GENERATE, answer, input=NESTED) == ()
        assert exchanged(FLAT, answer, path="/v1/text_to_image") == ()

    def test_two_answers_to_one_request(self) -> None:
        """Neither is its own by name, so neither is taken for it."""
        answer = {"data": {"a": {"id": "1"}, "b": {"id": "2"}}}

        assert submission(GENERATE, answer, input=NESTED) == ()

    @pytest.mark.parametrize(
        "answer",
        [
            BEGUN,
            {"data": BEGUN},
            {"data": {"text_to_image": BEGUN}},
            {"data": {"x": 1, "y": BEGUN}},
        ],
    )
    def test_rest(self, answer: object) -> None:
        """The flat form, answered flat, in `data`, or in `data` under a name."""
        (observation,) = exchanged(FLAT, answer, path="/base/v1/text_to_image?x=1")

        assert observation.generation_id == "abc123xyz"
        assert (observation.state, observation.service, observation.params) == (
            *(RUNNING, "flux-pro"),
            FOX,
        )

    @pytest.mark.parametrize(("method", "path"), [("GET", "/graphql"), ("POST", "/v1/upload")])
    def test_elsewhere(self, method: str, path: str) -> None:
        """What is said at other addresses is of no concern."""
        assert exchanged(FLAT, DONE, method=method, path=path) == ()


class TestQuestions:
    """Rule 7: the document to ask with is the operator's, so any query for a status is read."""

    @pytest.mark.parametrize(
        "query",
        [
            STATUS,
            '{ generation(id: "abc123xyz") { id status url } }',
            "query($id: ID!) { job: checkJobStatus(jobId: $id) { status url } }",
        ],
    )
    def test_answered(self, query: str) -> None:
        """By the id in the answer, else by the one that was asked for."""
        key = "job" if "job" in query else "generation"
        answer = DONE if key == "generation" else {"status": "completed", "url": URL}
        (observation,) = asked({"data": {key: answer}}, query=query)

        assert observation == Observation(
            provider="doitong",
            generation_id="abc123xyz",
            state=SUCCEEDED,
            slots=(SlotObservation(index=0, url=URL),),
        )

    def test_many(self) -> None:
        """A list of generations, and several fields."""
        query = "{ generations { id url } other: generation(id: 3) { id status } me { id name } }"
        data = {
            "generations": [DONE, None, {"url": URL}, '{"id": "2", "url": null}'],
            "other": {"id": "3", "status": "failed"},
            "me": {"id": "u", "name": "n"},
        }

        assert said(asked({"data": data}, query=query)) == [
            *(("abc123xyz", None, URL), ("2", None, None), ("3", None, None))
        ]

    def test_unknown(self) -> None:
        """Null without an error: the provider knows no such generation."""
        unknown = Observation(
            provider="doitong", generation_id="abc123xyz", state=RUNNING, unknown=True
        )

        assert asked({"data": {"generation": None}}) == (unknown,)
        assert asked({"data": {"generation": None}, "errors": []}) == (unknown,)

    @pytest.mark.parametrize(
        ("query", "answer"),
        [
            (STATUS, {"data": {"generation": None}, "errors": [{"message": "boom"}]}),
            (STATUS, {"data": None}),
            (STATUS, {"errors": [{"message": "Cannot query field"}]}),
            (STATUS, {"data": {}}),
            ("query($id: ID!) { user(id: $id) { id name } }", {"data": {"user": None}}),
            (
                "query($id: ID!) { user(id: $id) { id name } }",
                {"data": {"user": {"id": "abc123xyz"}}},
            ),
            ("{ generation { id status } }", {"data": {"generation": {"status": "failed"}}}),
        ],
    )
    def test_nothing_said(self, query: str, answer: object) -> None:
        """An error, or a question about something else, says nothing of a generation."""
        request = {"query": query, "variables": {} if "$id" not in query else {"id": "abc123xyz"}}

        assert exchanged(request, answer, heard=Heard.POLLED) == ()

    @pytest.mark.parametrize(
        ("status", "answer"), [(200, b"<html>"), (429, b"slow down"), (502, b""), (503, b"{")]
    )
    def test_passing_trouble(self, status: int, answer: bytes) -> None:
        """The next poll will know more."""
        assert asked(answer, status=status) == ()

    @pytest.mark.parametrize("answer", [b"", b"{", b"null", b"[]", b'{"data": "\xff"}'])
    def test_unreadable(self, answer: bytes) -> None:
        """What should tell of a generation and cannot be read says so."""
        with pytest.raises(UnreadableError, match="neither"):
            asked(answer)


class TestBalance:
    """What a refusal says of the account's credit."""

    @pytest.mark.parametrize(
        ("errors", "expected"),
        [
            ([{"extensions": {"code": "INSUFFICIENT_CREDITS"}}], None),
            ([{"extensions": {"creditsRequired": 1, "creditsAvailable": 0}}], None),
            ("INSUFFICIENT_CREDITS", None),
            (None, None),
            (
                [
                    {"message": "other"},
                    {
                        "extensions": {
                            "code": "INSUFFICIENT_CREDITS",
                            "creditsRequired": "40",
                            "creditsAvailable": 0,
                        }
                    },
                ],
                Balance(required=40.0, available=0.0),
            ),
        ],
    )
    def test_balance(self, errors: object, expected: Balance | None) -> None:
        """Both numbers, beside the code, in any of the errors."""
        answer = as_bytes({"errors": errors})
        exchange = Exchange(method="POST", path="/graphql", status=402, answer=answer)

        assert read_balance(exchange) == expected

    def test_of_a_list(self) -> None:
        """One refusal of many is enough."""
        refused = sample("doitong/answer-insufficient-credits-flux-pro").body
        answer = json.dumps([{"data": {}}, json.loads(refused)]).encode()
        exchange = Exchange(method="POST", path="/graphql", status=200, answer=answer)

        assert read_balance(exchange) == Balance(required=100.0, available=50.0)


@pytest.mark.parametrize(
    "query",
    [
        'query { mine: generation(id: "own") { id: negativePrompt status url: prompt } }',
        'query { generation(id: "own") { ...F } } fragment F on G { status id # or not\n : title }',
        "mutation { generate(input: $input) { id: prompt status } }",
    ],
)
def test_nothing_is_believed_under_another_name(query: str) -> None:
    """Else a client's own text could pass for the id of somebody else's generation."""
    answer = {"data": {"mine": DONE, "generation": DONE, "generate": DONE}}

    assert submission(query, answer, input=NESTED) == ()
