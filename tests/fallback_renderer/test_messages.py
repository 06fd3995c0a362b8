"""What goes over the pipes arrives as it was sent."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fallback_renderer.asked import Asked
from fallback_renderer.messages import (
    Cancel,
    Drawn,
    Failed,
    FailureKind,
    Finished,
    FromChild,
    Order,
    Progress,
    Ready,
    Setup,
    Unfit,
    from_child,
    from_parent,
    line,
)
from fallback_renderer.notes import clamped, ignored
from fallback_renderer.params import plan_render
from fallback_renderer.request import RenderRequest
from fallback_renderer.settings import Credentials, Engine, Render
from tests.fallback_renderer.requests import TABLE, TREE, drawable

RENDER = Render(
    checkpoints=TREE,
    engine=Engine(device="cuda:1", memory_bytes=1 << 40, threads=3, compile=True),
    credentials=Credentials(certificate_file="/a.pem", key_file="/b.pem"),
    idle_seconds=0.5,
)
DRAWN = Drawn(
    width=64,
    height=128,
    flagged=True,
    notes=(ignored("vae", 'why "not"'), clamped("steps", "500 → 50\n")),
    seed=2**64 - 1,
    drawn_with="sd15",
    software="diffusers",
    device="cpu",
    draw_seconds=0.25,
)

SAID: list[FromChild] = [
    Ready(device="cpu, 2 threads", software="holdfast 0.1.0"),
    Unfit(reason="pip install 'holdfast[render]'"),
    Progress(step=3, steps=30),
    Finished(drawn=DRAWN),
    Failed(kind=FailureKind.TROUBLE, reason="out of memory", spent=True),
]


@given(drawable(), st.integers(0, 2**64 - 1))
def test_any_request_arrives(asked: Asked, seed: int) -> None:
    """Whatever can be planned can be ordered, on one line."""
    request = plan_render(asked, TABLE, random_seed=seed)
    assert isinstance(request, RenderRequest)
    order = Order(
        request=request,
        provider=asked.provider,
        generation_id="7\n",
        index=asked.index,
        model="流",
        png="/spool/a.png",
        init_image="/spool/init",
    )

    sent = line(order)

    assert from_parent.decode(sent) == order
    assert sent.index(b"\n") == len(sent) - 1


@pytest.mark.parametrize("message", [Setup(render=RENDER, engine="engine"), Cancel()])
def test_the_rest_of_what_a_parent_says_arrives(message: Setup | Cancel) -> None:
    """The settings whole, but for the kind of their numbers."""
    assert from_parent.decode(line(message)) == message


@pytest.mark.parametrize("message", SAID, ids=lambda message: type(message).__name__)
def test_what_a_child_says_arrives(message: FromChild) -> None:
    """Everything, line ends within texts too."""
    assert from_child.decode(line(message)) == message


@pytest.mark.parametrize(
    "garbage",
    [b"", b"\xff\n", b"Loading pipeline components...\n", b"{}", b'{"type": "Sonnet"}', b"[1]"],
)
def test_garbage_is_no_message(garbage: bytes) -> None:
    """One kind of error says so, whatever it is."""
    with pytest.raises(msgspec.DecodeError):
        from_child.decode(garbage)
