"""The configuration's variables, `HOLDFAST_TABLE__NAME=value`, under the same law as its file."""

from __future__ import annotations

from tests.fuzz.target import Target
from tests.fuzz.targets.config import SABOTAGE, check, nowhere


def law(data: bytes) -> None:
    """One variable a line; as an environment could hold them, so without any NUL."""
    lines = data.replace(b"\0", b"").decode("utf-8", "surrogateescape").split("\n")
    pairs = (line.partition("=") for line in lines)
    with nowhere():
        check(None, {f"HOLDFAST_{name}": value for name, _, value in pairs if name})


TARGET = Target(
    law=law,
    sabotage=SABOTAGE,
    words=(
        *(
            b"LISTEN__PUBLIC=",
            b"PROVIDERS__DOITONG__SECRETS=",
            b"PROVIDERS__DASHSCOPE__KEYS__MAIN=",
        ),
        *(b'{a = "hush-hush"}', b"NOTIFY__SECRETS__A=whsec_", b"NOTIFY__URL=https://a/b", b"__"),
        *(
            b"EGRESS__ALLOW_CIDRS=[",
            b"BUCKET__URL=file:",
            b"CATALOG__URL=sqlite:///",
            b"TOKENS__A__",
        ),
        *(b"ARCHIVE__FETCHES=", b"GATEWAY__CLIENTS__A=", b"RENDER__A=", b"true", b"1_000", b"['"),
    ),
)
