"""One commission drawn: planned, its own pictures brought, given to the pool; or why it was not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom

from archiver.desk import Commission, Desk, Verdict
from archiver.errors import ConfigError, HoldfastError
from archiver.log import logger
from archiver.models import Generation, GenerationParams, Rendering, Slot
from fallback_renderer.checkpoints import Checkpoints, asked_names
from fallback_renderer.messages import FailureKind
from fallback_renderer.params import asked_of, plan_render
from fallback_renderer.policy import why_not
from fallback_renderer.pool import NotDrawnError, Pool
from fallback_renderer.request import NotRenderable, RenderRequest, refused

# Clients show and take seeds of this size, and none is drawn twice by chance.
_SEED_BITS = 32

_VERDICTS = {
    FailureKind.REFUSED: Verdict.REFUSED,
    FailureKind.POISON: Verdict.DISCARDED,
    FailureKind.TROUBLE: Verdict.RETRY,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """What a commission came to: drawn as `rendering` says, or else a verdict and its reason."""

    rendering: Rendering | None = None
    verdict: Verdict | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Studio:
    """All that drawing takes: where commissions are from, who draws, with which checkpoints.

    `progress(step, steps)` hears how far a drawing has come.
    """

    desk: Desk
    pool: Pool
    checkpoints: Checkpoints
    progress: Callable[[int, int], None] = lambda step, steps: None

    async def draw(self, commission: Commission, folder: Path) -> Ended:
        """Draws into `png_in(folder)`, a folder that is made for it.

        Raises ConfigError where nothing can be drawn before the operator mends something.
        """
        try:
            request = plan_slot(commission.generation, commission.slot, self.checkpoints)
            if isinstance(request, NotRenderable):
                return Ended(verdict=Verdict.REFUSED, reason=request.reason)
            return Ended(rendering=await self._draw(commission, request, folder))
        except NotDrawnError as error:
            return Ended(verdict=_VERDICTS[error.kind], reason=str(error))
        except ConfigError:
            raise
        except (HoldfastError, OSError) as error:
            return Ended(verdict=Verdict.RETRY, reason=str(error))
        except Exception as error:
            logger().exception("a drawing failed by a fault of ours", job=commission.job_id)
            reason = f"a fault of holdfast: {type(error).__name__}"
            return Ended(verdict=Verdict.RETRY, reason=reason)

    async def _draw(
        self, commission: Commission, request: RenderRequest, folder: Path
    ) -> Rendering:
        generation = commission.generation
        # On a thread it might yet be made when it is given up and gone.
        folder.mkdir(parents=True)  # noqa: ASYNC240
        drawn = await self.pool.draw(
            request,
            provider=generation.provider,
            generation_id=generation.id,
            index=commission.index,
            model=model_name(generation.params, generation.service),
            png=png_in(folder),
            init_image=await self._bring(commission, request.init_image, folder / "init"),
            mask_image=await self._bring(commission, request.mask_image, folder / "mask"),
            progress=self.progress,
        )
        return Rendering(
            drawn_with=drawn.drawn_with,
            software=drawn.software,
            device=drawn.device,
            seed=drawn.seed,
            flagged=drawn.flagged,
            notes=tuple(map(str, drawn.notes)),
        )

    async def _bring(self, commission: Commission, blob_key: str | None, to: Path) -> Path | None:
        """One of the request's own pictures, as a file."""
        if blob_key is None:
            return None
        with to.open("wb") as file:
            async for chunk in self.desk.picture(commission, blob_key):
                file.write(chunk)
        return to


def plan_slot(
    generation: Generation, slot: Slot, checkpoints: Checkpoints
) -> RenderRequest | NotRenderable:
    """What is to be drawn for a slot, or why it may not or cannot be."""
    reason = why_not(generation, slot)
    if reason is not None:
        return refused(reason)
    return plan_render(asked_of(generation, slot), checkpoints, random_seed=random_seed())


def random_seed() -> int:
    """A seed for where nobody knows one."""
    return SystemRandom().getrandbits(_SEED_BITS)


def model_name(params: GenerationParams, service: str | None) -> str:
    """What was asked to draw, by the name that says most."""
    names = asked_names(params, service)
    return names[0][1] if names else ""


def png_in(folder: Path) -> Path:
    """Where the picture of a drawing lies."""
    return folder / "drawn.png"
