"""The scheduler of one picture, always made anew from the checkpoint's own configuration."""

from __future__ import annotations

from typing import Any

import diffusers

from fallback_renderer.notes import Note, unavailable
from fallback_renderer.schedulers import SchedulerPlan

# LMS of order one, over the same noise levels.
_WITHOUT_SCIPY = "EulerDiscreteScheduler"


def build(plan: SchedulerPlan, own: Any) -> tuple[Any, list[Note]]:
    """The planned scheduler, or the nearest where a package that it needs is not installed."""
    name = plan.class_name or type(own).__name__
    try:
        return _build(name, plan, own), []
    except ImportError:
        note = unavailable("scheduler", f"{name} needs scipy: {_WITHOUT_SCIPY} draws in its place")
        return _build(_WITHOUT_SCIPY, plan, own), [note]


def _build(name: str, plan: SchedulerPlan, own: Any) -> Any:
    return getattr(diffusers, name).from_config(own.config, **plan.overrides)
