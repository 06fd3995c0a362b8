"""What kind of drawing a request wants, and whether its own pictures are at hand for it."""

from __future__ import annotations

from dataclasses import dataclass

from archiver.models import Generation, GenerationParams, Slot
from fallback_renderer.request import NotRenderable, Task, refused

_WANTED = {
    Task.TEXT_TO_IMAGE: (),
    Task.IMAGE_TO_IMAGE: ("init_image",),
    Task.INPAINTING: ("init_image", "mask_image"),
}

# DashScope's names for the same.
_SAME_ROLES = {"base_image_url": "init_image", "mask_image_url": "mask_image"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """A picture that the request names; `blob_key` is None where it is not in the archive."""

    role: str
    blob_key: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """What is to be done, and with which pictures (blob keys)."""

    task: Task
    init_image: str | None = None
    mask_image: str | None = None


def pictures_of(generation: Generation) -> tuple[Picture, ...]:
    """The pictures that a generation's request named, as far as the archive has them."""
    return tuple(
        Picture(role=slot.role, blob_key=_picture_key(slot))
        for slot in generation.slots
        if slot.role
    )


def read_work(params: GenerationParams, pictures: tuple[Picture, ...]) -> Work | NotRenderable:
    """The work that a request comes to; one that names a picture which we cannot use is refused.

    For whoever sent it meant something by it, and the same words without it are another request.
    """
    if params.task is None and pictures:
        return refused("it names pictures, but nobody has heard what is to be done with them")
    if params.task not in (None, *Task):
        return refused(f"there is no pipeline here for {params.task}")
    task = Task(params.task or Task.TEXT_TO_IMAGE)
    keys: dict[str, str | None] = {}
    for picture in pictures:
        role = _SAME_ROLES.get(picture.role, picture.role)
        if role not in _WANTED[task] or role in keys:
            also = "another " if role in keys else ""
            return refused(f"there is no pipeline here for {task} with {also}{picture.role}")
        keys[role] = picture.blob_key
    for role in _WANTED[task]:
        if keys.get(role) is None:
            return refused(f"its {role} is not in the archive")
    return Work(task=task, **keys)


def _picture_key(slot: Slot) -> str | None:
    asset = slot.leading_asset
    return asset.blob_key if asset and asset.media_type.startswith("image/") else None
