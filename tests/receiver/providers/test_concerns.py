"""What a path is about, by each provider's documents."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.exchange import Request
from receiver.providers import PROVIDERS
from receiver.providers.base import Concern

SUBMISSION, QUESTION, NEITHER = Concern.SUBMISSION, Concern.QUESTION, None

CONCERNS: dict[str, dict[Concern | None, list[str]]] = {
    "doitong": {
        SUBMISSION: [
            "POST /graphql",
            "POST /graphql/",
            "post /graphql?operation=Generate",
            "POST /doitong/graphql",
            "POST /v1/text_to_image",
            "POST /api/v1/text_to_image?trace=1",
        ],
        NEITHER: [
            "GET /graphql",
            "GET /v1/text_to_image",
            "POST /",
            "POST /v1/text_to_image/abc",
            "POST /v1/credits?next=/graphql",
            "POST /notgraphql",
            "OPTIONS /graphql",
        ],
    },
    "dashscope": {
        SUBMISSION: [
            "POST /api/v1/services/aigc/text2image/image-synthesis",
            "POST /proxy/api/v1/services/aigc/image2image/image-synthesis?x=1",
            "POST /api/v1/services/aigc/multimodal-generation/generation",
            "POST /api/v1/services/aigc/video-generation/video-synthesis",
            "post /services/aigc/background-generation/generation/",
        ],
        QUESTION: [
            "GET /api/v1/tasks/86ecf553-d340-4e21-xxxxxxxxx",
            "GET /proxy/api/v1/tasks/86ecf553?x=1",
            "GET /api/v1/tasks/",
            "GET /api/v1/tasks?status=FAILED&page_no=1",
            "POST /api/v1/tasks/86ecf553/cancel",
        ],
        NEITHER: [
            "POST /api/v1/services/aigc/text-generation/generation",
            "POST /api/v1/services/embeddings/text-embedding/text-embedding",
            "POST /api/v1/services/audio/asr/transcription",
            "GET /api/v1/services/aigc/text2image/image-synthesis",
            "POST /compatible-mode/v1/chat/completions",
            "POST /api/v1/tasks/86ecf553",
            "GET /api/v1/tasks/86ecf553/cancel",
            "GET /api/v1/tasks/%20",
            "GET /api/v1/quotas",
            "GET /api/v1/models?next=/tasks/1",
            "POST /api/v1/uploads",
        ],
    },
    "modelslab": {
        SUBMISSION: [
            "POST /api/v3/text2img",
            "POST /api/v3/img2img",
            "POST /api/v4/dreambooth",
            "POST /api/v5/controlnet",
            "POST /api/v6/images/text2img",
            "post /proxy/api/v6/realtime/text2img?x=1",
            "POST /api/v6/image_editing/removebg_mask",
            "POST /api/v6/image_editing/super_resolution",
            "POST /api/v6/video/text2video",
            "POST /api/v7/images/text-to-image",
            "POST /api/v7/video-fusion/text-to-video",
            "POST /api/v1/enterprise/text2img",
            "POST /api/v1/enterprise/flux/text2img",
            "POST /api/v6/interior/make",
        ],
        QUESTION: [
            "POST /api/v3/fetch/302455",
            "POST /api/v3/dreambooth/fetch/302455",
            "POST /api/v4/dreambooth/fetch",
            "POST /api/v6/images/fetch",
            "POST /proxy/api/v6/images/fetch/302455?x=1",
            "POST /api/v1/enterprise/fetch",
            "POST /api/v1/enterprise/flux/fetch/302455",
            "GET /api/v6/images/fetch/302455",
        ],
        NEITHER: [
            "POST /",
            "GET /api/v6/images/text2img",
            "POST /api/v4/dreambooth/model_list",
            "POST /api/v1/enterprise/get_all_models",
            "POST /api/v3/public_model_list",
            "POST /api/v3/fine_tune",
            "POST /api/v3/lora_fine_tune",
            "POST /api/v3/finetune_status/17",
            "POST /api/v6/base64_to_url",
            "POST /api/v6/images/upload",
            "POST /api/v3/system_load",
            "POST /api/v1/enterprise/flux/clear_queue",
            "POST /api/v1/enterprise/flux/restart-server",
            "POST /api/v1/enterprise/update_s3",
            "POST /api/v6/voice/text_to_audio",
            "POST /api/v6/voice/fetch/17",
            "POST /api/v6/3d/text_to_3d",
            "POST /api/v6/llm/uncensored_chat",
            "POST /api/uncensored-chat/v1/completions",
        ],
    },
}


@pytest.mark.parametrize(
    ("provider", "request_line", "expected"),
    [
        (provider, line, concern)
        for provider, concerns in CONCERNS.items()
        for concern, lines in concerns.items()
        for line in lines
    ],
)
def test_concern(provider: str, request_line: str, expected: Concern | None) -> None:
    """By how the path ends, whatever stands before it and in its query."""
    method, path = request_line.split(" ")

    asked = Request(method=method, path=path, body=b'{"query": "mutation { generate { id } }"}')

    assert PROVIDERS[provider].concern(asked) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"query": "mutation { generate(input: $input) { id } }"}', SUBMISSION),
        (b'{"query": "mutation { generateImage(input: $input) { id } }"}', SUBMISSION),
        (b'{"query": "query { generation(id: 1) { id status url } }"}', QUESTION),
        (b'{"query": "mutation { login(password: 1) { token } }"}', NEITHER),
        (b'{"query": "mutation { createApiKey { key } }"}', NEITHER),
        (b"", NEITHER),
    ],
)
def test_graphql_is_told_by_what_it_says(body: bytes, expected: Concern | None) -> None:
    """A login passes by one address with the pictures, and nothing of it is kept."""
    asked = Request(method="POST", path="/graphql", body=body)

    assert PROVIDERS["doitong"].concern(asked) == expected


@given(st.sampled_from(sorted(PROVIDERS)), st.sampled_from(["GET", "POST", "PUT"]), st.text())
def test_any_path(provider: str, method: str, path: str) -> None:
    """No path raises anything."""
    PROVIDERS[provider].concern(Request(method=method, path=path))
