"""Names of schedulers, and what draws in their place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fallback_renderer.checkpoints import Family
from fallback_renderer.schedulers import plan_scheduler

ALWAYS = {"clip_sample": False, "thresholding": False, "skip_prk_steps": True}
UNETS = [Family.SD15, Family.SD21, Family.SDXL]

# ModelsLab's list: the name; what draws, where that is another; whether Karras sigmas matter to it.
LISTED: list[tuple[str, str | None, bool]] = [
    ("DDPMScheduler", None, False),
    ("DDIMScheduler", None, False),
    ("PNDMScheduler", None, False),
    ("LMSDiscreteScheduler", None, True),
    ("EulerDiscreteScheduler", None, True),
    ("EulerAncestralDiscreteScheduler", None, False),
    ("DPMSolverMultistepScheduler", None, True),
    ("HeunDiscreteScheduler", None, True),
    ("KDPM2DiscreteScheduler", None, True),
    ("DPMSolverSinglestepScheduler", None, True),
    ("KDPM2AncestralDiscreteScheduler", None, True),
    ("UniPCMultistepScheduler", None, True),
    ("DDIMInverseScheduler", "DDIMScheduler", False),
    ("DEISMultistepScheduler", None, True),
    ("IPNDMScheduler", "PNDMScheduler", False),
    ("KarrasVeScheduler", "HeunDiscreteScheduler", True),
    ("ScoreSdeVeScheduler", "EulerAncestralDiscreteScheduler", False),
]


@pytest.mark.parametrize("family", UNETS)
@pytest.mark.parametrize(("name", "instead", "karras"), LISTED)
def test_every_listed_scheduler_draws(
    name: str, instead: str | None, karras: bool, family: Family
) -> None:
    """Thirteen as they are; four that would draw noise or nothing by an honest substitute."""
    plan, notes = plan_scheduler(name, karras_sigmas=None, family=family)

    assert (instead or name) == plan.class_name
    forced = {"use_karras_sigmas": True} if name == "KarrasVeScheduler" else {}
    assert {**ALWAYS, **forced} == plan.overrides
    assert [f"substituted: scheduler: {name} is drawn with {instead}: "] * bool(instead) == [
        str(note)[: len(f"substituted: scheduler: {name} is drawn with {instead}: ")]
        for note in notes
    ]


@pytest.mark.parametrize(("name", "instead", "karras"), LISTED)
def test_karras_sigmas_are_passed_on_or_noted(name: str, instead: str | None, karras: bool) -> None:
    """Five would swallow them without a word."""
    plan, notes = plan_scheduler(name, karras_sigmas=True, family=Family.SD15)

    assert karras == plan.overrides.get("use_karras_sigmas", False)
    text = f"ignored: karras_sigmas: they have no effect on {instead or name}"
    assert karras is not (text in map(str, notes))


@pytest.mark.parametrize(
    "spelling",
    [
        "EulerAncestralDiscreteScheduler",
        "eulerancestraldiscrete",
        "Euler Ancestral",
        "euler-ancestral",
    ],
)
def test_a_name_is_known_in_any_spelling(spelling: str) -> None:
    """With or without "Scheduler", in capitals or not, with what stands between words."""
    plan, notes = plan_scheduler(spelling, karras_sigmas=None, family=Family.SDXL)

    assert (plan.class_name, notes) == ("EulerAncestralDiscreteScheduler", ())


@pytest.mark.parametrize("karras", [None, False])
def test_without_a_name_the_checkpoint_keeps_its_own(karras: bool | None) -> None:
    """Its own class, still configured so that latents are not clipped."""
    plan, notes = plan_scheduler(None, karras_sigmas=karras, family=Family.SD15)

    assert (plan.class_name, notes) == (None, ())
    assert plan.overrides == ALWAYS | ({} if karras is None else {"use_karras_sigmas": karras})


def test_karras_sigmas_of_nobody_get_a_scheduler_that_heeds_them() -> None:
    """Whether the checkpoint's own does, nobody knows before it is loaded."""
    plan, notes = plan_scheduler("", karras_sigmas=True, family=Family.SD15)

    assert plan.class_name == "EulerDiscreteScheduler"
    assert plan.overrides["use_karras_sigmas"]
    assert [note.name for note in notes] == ["scheduler"]


def test_the_inherent_sigmas_of_karras_are_not_turned_off() -> None:
    """What stands in for the sampler of Karras et al. has them by definition."""
    plan, notes = plan_scheduler("KarrasVe", karras_sigmas=False, family=Family.SD15)

    assert plan.overrides["use_karras_sigmas"]
    assert [note.name for note in notes] == ["scheduler", "karras_sigmas"]


@pytest.mark.parametrize("family", [Family.FLUX, Family.SD3])
@pytest.mark.parametrize("name", [name for name, _, _ in LISTED])
def test_a_flow_model_keeps_its_own(name: str, family: Family) -> None:
    """None of the list can drive one; its own configuration is left alone."""
    plan, notes = plan_scheduler(name, karras_sigmas=True, family=family)

    assert (plan.class_name, plan.overrides) == (None, {})
    assert [note.name for note in notes] == ["scheduler", "karras_sigmas"]


@pytest.mark.parametrize("name", [None, "", "FlowMatchEulerDiscreteScheduler"])
def test_a_flow_model_s_own_needs_no_note(name: str | None) -> None:
    """What it does by itself is no difference."""
    assert plan_scheduler(name, karras_sigmas=False, family=Family.FLUX)[1] == ()


@given(st.text(max_size=40), st.none() | st.booleans(), st.sampled_from(Family))
def test_any_name_has_an_answer(name: str, karras: bool | None, family: Family) -> None:
    """An unknown name comes to the checkpoint's own scheduler, or one from the list."""
    plan, notes = plan_scheduler(name, karras_sigmas=karras, family=family)

    drawn = {instead or listed for listed, instead, _ in LISTED}
    assert plan.class_name is None or plan.class_name in drawn
    if name.strip() and plan.class_name is None:
        assert "scheduler" in [note.name for note in notes]
