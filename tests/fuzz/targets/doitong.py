"""What Doitong says: webhooks, answers of GraphQL and REST; and requests that are remembered."""

from __future__ import annotations

from receiver.providers import doitong_generation
from tests.fuzz.hearings import CUT, law_of
from tests.fuzz.target import Sabotage, Target

TARGET = Target(
    law=law_of("doitong"),
    sabotage=Sabotage(
        says="knowing a link", owner=doitong_generation, name="as_url", instead=lambda text: text
    ),
    words=(
        *(b"pushed\n", b"remembered an-id\n", b"overheard POST /graphql 200\n", CUT),
        *(b"overheard POST /v1/text_to_image 200\n", b'{"query":"', b"mutation { ", b"query { "),
        *(b"generateImage(input: $input)", b'"variables":{"input":{', b'{"data":{"generateImage":'),
        *(b'"id":', b'"status":"completed"', b'"url":"https://cdn.doitong.com/', b'"errors":['),
        *(
            b'"extensions":{"code":"INSUFFICIENT_CREDITS"',
            b'"creditsRequired":',
            b"fragment f on T",
        ),
        *(
            b'"input":{"text":"a"}',
            b'"options":{',
            b"@include(if: true)",
            b'"""',
            b"1e400",
            b"\\ud800",
        ),
    ),
)
