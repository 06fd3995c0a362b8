"""Every scheduler that can be asked for draws a picture, from the first step to any number."""

from __future__ import annotations

from io import BytesIO

import diffusers
import pytest
from diffusers.utils import dummy_torch_and_scipy_objects as without_scipy
from PIL import Image

from fallback_renderer.checkpoints import Family
from fallback_renderer.engine.quiet import hushed
from fallback_renderer.engine.schedulers import build
from fallback_renderer.schedulers import SchedulerPlan, plan_scheduler
from tests.fallback_renderer.requests import INIT
from tests.fallback_renderer.test_schedulers import LISTED

NAMES = [name for name, _, _ in LISTED]
UNETS = ["sd15", "sd21", "sdxl"]


@pytest.mark.parametrize("model", UNETS)
@pytest.mark.parametrize("name", NAMES)
def test_it_draws_the_same_twice(name, model, ask, engine) -> None:
    """All seventeen on every family with a UNet; a number that is none would make it black."""
    request = ask(model, scheduler=name, karras_sigmas=True, width=72)

    first, again = engine.draw(request), engine.draw(request)

    assert first.png == again.png
    assert first.notes == ()


@pytest.mark.parametrize("name", NAMES)
def test_few_steps_are_enough(name, ask, engine, tmp_path) -> None:
    """From words, and from a picture, where only some of the steps are taken."""
    Image.linear_gradient("L").save(tmp_path / "init.png")
    asked = {"task": "image-to-image", "pictures": (INIT,), "strength": 0.6}

    for steps, more in ((1, {}), (2, {}), (2, asked), (4, asked)):
        request = ask(scheduler=name, steps=steps, **more)

        picture = engine.draw(request, init_image=tmp_path / "init.png")

        with Image.open(BytesIO(picture.png)) as image:
            assert len(image.getcolors(image.width * image.height)) > 100


@pytest.mark.parametrize("model", ["sd15", "sd21", "sdxl", "flux", "sd3"])
def test_the_last_one_leaves_no_trace(model, ask, engine) -> None:
    """Each is built from the checkpoint's own configuration, whatever drew before."""
    before = engine.draw(ask(model))
    for name in ("KarrasVeScheduler", "DDPMScheduler", "LMSDiscreteScheduler"):
        engine.draw(ask(model, scheduler=name, karras_sigmas=True))

    assert before.png == engine.draw(ask(model)).png


def test_without_scipy_the_nearest_draws(monkeypatch) -> None:
    """LMS alone needs it: what is missing is named, and so is what stands in."""
    monkeypatch.setattr(diffusers.utils.import_utils, "_scipy_available", False)
    monkeypatch.setattr(diffusers, "LMSDiscreteScheduler", without_scipy.LMSDiscreteScheduler)
    plan, _ = plan_scheduler("LMSDiscrete", karras_sigmas=True, family=Family.SD15)

    with hushed():
        scheduler, notes = build(plan, diffusers.DDIMScheduler())

    assert type(scheduler) is diffusers.EulerDiscreteScheduler
    assert scheduler.config.use_karras_sigmas
    text = "LMSDiscreteScheduler needs scipy: EulerDiscreteScheduler draws in its place"
    assert [str(note) for note in notes] == [f"unavailable: scheduler: {text}"]


def test_the_checkpoint_s_own_is_kept_but_made_anew() -> None:
    """Its configuration, and none of what it remembers of the last picture."""
    plan = SchedulerPlan(overrides={"use_karras_sigmas": True})
    with hushed():
        own = diffusers.EulerDiscreteScheduler(prediction_type="v_prediction", beta_end=0.5)
        own.set_timesteps(3)

        scheduler, notes = build(plan, own)

    assert (type(scheduler), notes) == (type(own), [])
    assert scheduler is not own
    said = {name: value for name, value in scheduler.config.items() if name[0] != "_"}
    known = {name: value for name, value in own.config.items() if name[0] != "_"}
    assert said == known | {"use_karras_sigmas": True}
    assert scheduler.num_inference_steps is None
