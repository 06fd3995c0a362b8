"""What ModelsLab says: hints by webhook, answers, and requests that somebody remembers."""

from __future__ import annotations

from receiver.providers import modelslab_outputs
from tests.fuzz.hearings import CUT, law_of
from tests.fuzz.target import Sabotage, Target

TARGET = Target(
    law=law_of("modelslab"),
    sabotage=Sabotage(
        says="knowing a link", owner=modelslab_outputs, name="as_url", instead=lambda text: text
    ),
    words=(
        *(b"pushed\n", b"remembered an-id\n", CUT, b"polled POST /api/v6/images/fetch/7 200\n"),
        *(b"overheard POST /api/v6/images/text2img 200\n", b'"id":', b'"status":"success"'),
        *(b'"output":["https://', b'"proxy_links":[', b'"future_links":[', b'"meta":{"seed":'),
        *(b'"nsfw_content_detected":true', b'"message":"', b'"messege":{"prompt":["', b'"error":'),
        *(
            b'"track_id":',
            b'"generationTime":',
            b'"lora":',
            b'"init_image":"https://',
            b'"samples":',
        ),
        *(
            b"data:image/png;base64,iVBORw0KGgo=",
            b'"processing"',
            b'"failed"',
            b'"yes"',
            b'"W":512',
        ),
    ),
)
