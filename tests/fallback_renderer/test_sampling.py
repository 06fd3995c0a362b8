"""Whether a scheduler samples, or only seems to.

Latents are drawn from a normal distribution whose best denoiser is known in closed form. What
samples ends near its mean and deviation; what does not still gives a picture without any error, so
nothing else would show it.
"""

from __future__ import annotations

import inspect
import math

import diffusers
import numpy as np
import pytest
import torch

from fallback_renderer.checkpoints import Family
from fallback_renderer.engine.quiet import hushed
from fallback_renderer.schedulers import plan_scheduler
from tests.fallback_renderer.test_schedulers import LISTED

MEAN, DEVIATION = 0.8, 0.5
STEPS = 20
# In so few steps, the best come as near as 0.01 and the worst no nearer than this.
MEAN_WITHIN, DEVIATION_WITHIN = 0.1, 0.12

# As Stable Diffusion's own are, but silent on clipping, as the files of many conversions are.
OWN = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "set_alpha_to_one": False,
    "steps_offset": 1,
}
_BETAS = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
_KEPT = torch.cumprod(1 - _BETAS, dim=0).numpy()
_LOG_SIGMAS = np.log(np.sqrt((1 - _KEPT) / _KEPT))


@pytest.fixture(autouse=True)
def _hushed():
    with hushed():
        yield


def denoiser(latents, timestep, prediction):
    """The best guess at the noise, or at the velocity, in latents of this time."""
    sigma = math.exp(np.interp(float(timestep), np.arange(1000), _LOG_SIGMAS))
    alpha = 1 / math.sqrt(1 + sigma**2)
    beta = sigma * alpha
    noise = beta * (latents - alpha * MEAN) / (alpha**2 * DEVIATION**2 + beta**2)
    if prediction == "epsilon":
        return noise
    return alpha * noise - beta * (latents - beta * noise) / alpha


def sample(class_name, overrides, prediction):
    """Mean and deviation of what the scheduler makes of pure noise."""
    config = {**OWN, "prediction_type": prediction}
    scheduler = getattr(diffusers, class_name).from_config(config, **overrides)
    scheduler.set_timesteps(STEPS)
    chance = torch.Generator().manual_seed(0)
    takes_chance = "generator" in inspect.signature(scheduler.step).parameters
    by = {"generator": chance} if takes_chance else {}
    latents = torch.randn(64, 4, 8, 8, generator=chance) * scheduler.init_noise_sigma
    for timestep in scheduler.timesteps:
        scaled = scheduler.scale_model_input(latents, timestep)
        guess = denoiser(scaled, timestep, prediction).to(latents.dtype)
        latents = scheduler.step(guess, timestep, latents, **by).prev_sample
    return float(latents.mean()), float(latents.std())


def samples(mean, deviation):
    """Whether these are the distribution's."""
    return abs(mean - MEAN) < MEAN_WITHIN and abs(deviation - DEVIATION) < DEVIATION_WITHIN


@pytest.mark.parametrize("karras", [None, True])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("name", [name for name, _, _ in LISTED])
def test_every_name_samples_as_it_is_planned(name, prediction, karras) -> None:
    """All seventeen, for both kinds of UNet, with Karras sigmas and without."""
    plan, _ = plan_scheduler(name, karras_sigmas=karras, family=Family.SD15)

    mean, deviation = sample(plan.class_name, plan.overrides, prediction)

    assert samples(mean, deviation), (mean, deviation)


@pytest.mark.parametrize("name", ["DDIMInverseScheduler", "IPNDMScheduler"])
def test_the_false_friends_do_not(name) -> None:
    """Used as they are named they end in noise, which is why they are not."""
    mean, deviation = sample(name, {}, "epsilon")

    assert math.isfinite(mean)
    assert not samples(mean, deviation), (mean, deviation)


def test_clipped_latents_do_not() -> None:
    """What DDIM does by itself with a configuration that is silent on it."""
    mean, deviation = sample("DDIMScheduler", {}, "epsilon")

    assert not samples(mean, deviation), (mean, deviation)
