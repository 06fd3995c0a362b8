"""What becomes of every kind of picture, whole or not."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from archiver.deriving.messages import Made, Refused
from archiver.deriving.picture import LONGEST_SIDE, MAX_PIXELS, make
from tests.archiver.media_bodies import DAMAGED, IDAT, IEND, JPEG, WHOLE, drawn, png
from tests.archiver.scenes import encoded, scene

# The child ignores warnings.
pytestmark = pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")

RED, BLUE = (220, 20, 30), (20, 40, 200)


@pytest.fixture
def made(tmp_path: Path) -> Callable[[bytes], Made]:
    """Makes the preview of a picture that can have one."""

    def make_it(picture: bytes) -> Made:
        answer = make(_file(tmp_path, picture))
        assert isinstance(answer, Made), answer
        return answer

    return make_it


@pytest.fixture
def refused(tmp_path: Path) -> Callable[[bytes], str]:
    """Says why there can be none."""

    def make_it(picture: bytes) -> str:
        answer = make(_file(tmp_path, picture))
        assert isinstance(answer, Refused), answer
        return answer.reason

    return make_it


def _file(folder: Path, picture: bytes) -> Path:
    path = folder / "picture"
    path.write_bytes(picture)
    return path


def shown(preview: Made) -> Image.Image:
    """The thumbnail."""
    image = Image.open(io.BytesIO(preview.webp))
    assert (image.format, image.size) == ("WEBP", (preview.width, preview.height))
    return image


def is_near(image: Image.Image, place: tuple[int, int], colour: tuple[int, ...]) -> bool:
    """Whether a pixel has about that colour, as far as compression leaves it."""
    pixel = image.getpixel(place)
    assert isinstance(pixel, tuple)
    return all(abs(is_ - was) < 24 for is_, was in zip(pixel, colour, strict=True))


def halves(mode: str = "RGB") -> Image.Image:
    """Red on the left, blue on the right."""
    picture = Image.new("RGB", (80, 40), RED)
    picture.paste(BLUE, (40, 0, 80, 40))
    return picture.convert(mode)


PICTURES = {
    name: body
    for name, (body, media_type) in WHOLE.items()
    if media_type.startswith("image/") and name != "avif of tiles"
}


@pytest.mark.parametrize("picture", PICTURES.values(), ids=PICTURES)
def test_every_kind_of_picture_that_is_archived(
    made: Callable[[bytes], Made], picture: bytes
) -> None:
    """Small ones stay as small as they are."""
    assert shown(made(picture)).size == (23, 14)


@pytest.mark.parametrize(
    ("size", "small"),
    [((1024, 768), (320, 240)), ((600, 1800), (107, 320)), ((320, 320), (320, 320))],
)
def test_no_side_is_too_long(
    made: Callable[[bytes], Made], size: tuple[int, int], small: tuple[int, int]
) -> None:
    """And its shape is kept."""
    for image_format in ("PNG", "JPEG"):
        assert shown(made(encoded(scene(1, size), image_format))).size == small
    assert max(small) == LONGEST_SIDE


MODES = {
    "RGB": encoded(halves()),
    "palette": encoded(halves("P")),
    "palette in a GIF": encoded(halves("P"), "GIF"),
    "CMYK": encoded(halves("CMYK"), "JPEG"),
    "RGBA": encoded(halves("RGBA")),
    "YCbCr": encoded(halves("YCbCr"), "JPEG"),
}


@pytest.mark.parametrize("picture", MODES.values(), ids=MODES)
def test_colours_are_kept(made: Callable[[bytes], Made], picture: bytes) -> None:
    """However the file has them."""
    image = shown(made(picture)).convert("RGB")
    assert is_near(image, (10, 20), RED)
    assert is_near(image, (70, 20), BLUE)


GREYS = {
    "grey": encoded(Image.new("L", (40, 40), 150)),
    "grey of 16 bits": encoded(Image.fromarray(np.full((40, 40), 150 * 256, np.uint16))),
    "grey with alpha": encoded(Image.new("LA", (40, 40), (150, 255))),
}


@pytest.mark.parametrize("picture", GREYS.values(), ids=GREYS)
def test_greys_are_kept(made: Callable[[bytes], Made], picture: bytes) -> None:
    """However many levels there are of them."""
    assert is_near(shown(made(picture)).convert("RGB"), (20, 20), (150, 150, 150))


def with_a_hole(mode: str) -> Image.Image:
    """Red, with the right half transparent."""
    alpha = Image.new("L", (80, 40), 255)
    alpha.paste(0, (40, 0, 80, 40))
    picture = halves()
    picture.putalpha(alpha)
    return picture.convert(mode)


HOLES = {
    "RGBA": encoded(with_a_hole("RGBA")),
    "LA": encoded(with_a_hole("LA")),
    "a palette's colour": encoded(halves("P"), transparency=halves("P").getpixel((60, 20))),
    "a palette with alpha": encoded(with_a_hole("RGBA").quantize(16)),
    "a colour": encoded(halves(), transparency=BLUE),
    "WebP": encoded(with_a_hole("RGBA"), "WEBP"),
}


@pytest.mark.parametrize("picture", HOLES.values(), ids=HOLES)
def test_what_is_transparent_stays_so(made: Callable[[bytes], Made], picture: bytes) -> None:
    """So that a page shows through."""
    alpha = shown(made(picture)).getchannel("A")
    assert alpha.getpixel((10, 20)) == 255
    assert alpha.getpixel((70, 20)) == 0


STRIPES = np.zeros((640, 640, 3), np.uint8)
STRIPES[:, ::2] = 255

FEW_COLOURS = {
    "black and white": encoded(Image.fromarray(STRIPES).convert("1")),
    "a palette": encoded(Image.fromarray(STRIPES).quantize(2)),
}


@pytest.mark.parametrize("picture", FEW_COLOURS.values(), ids=FEW_COLOURS)
def test_few_colours_become_more(made: Callable[[bytes], Made], picture: bytes) -> None:
    """What is black and white in fine stripes is grey from afar."""
    assert is_near(shown(made(picture)).convert("RGB"), (100, 100), (127, 127, 127))


def test_a_transparent_colour_mixes_with_no_other(made: Callable[[bytes], Made]) -> None:
    """White stripes with nothing between them are white from afar, and half transparent."""
    image = shown(made(encoded(Image.fromarray(STRIPES), transparency=(0, 0, 0))))
    assert is_near(image, (100, 100), (255, 255, 255, 127))


@pytest.mark.parametrize("level", [0, 255])
def test_lines_on_nothing_are_something(made: Callable[[bytes], Made], level: int) -> None:
    """Whether black or white, they stand out of what transparent pictures are compared on."""
    picture = Image.new("LA", (80, 80), (level, 0))
    picture.paste((level, 255), (10, 20, 50, 70))
    assert made(encoded(picture)).phash is not None


def test_what_nobody_sees_makes_no_difference(made: Callable[[bytes], Made]) -> None:
    """Transparent pictures are compared on one background, whatever colours hide in them."""
    seen = []
    for hidden in ((0, 0, 0, 0), (255, 255, 255, 0)):
        picture = Image.new("RGBA", (80, 80), hidden)
        picture.paste((200, 30, 30, 255), (10, 20, 50, 70))
        seen.append(made(encoded(picture)).phash)
    assert seen[0] == seen[1] is not None


# Where the red half of `halves` is, by what EXIF says of how the camera was held.
ORIENTATIONS = {1: (10, 20), 2: (70, 20), 3: (70, 20), 5: (20, 10), 6: (20, 10), 8: (20, 70)}


@pytest.mark.parametrize(("orientation", "red"), ORIENTATIONS.items())
def test_the_right_way_up(
    made: Callable[[bytes], Made], orientation: int, red: tuple[int, int]
) -> None:
    """Turned as EXIF says, once: the thumbnail says nothing of it any more."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    for image_format in ("JPEG", "PNG", "WEBP"):
        image = shown(made(encoded(halves(), image_format, exif=exif)))
        assert is_near(image.convert("RGB"), red, RED)
        assert not image.getexif()


def test_nothing_is_carried_along(made: Callable[[bytes], Made]) -> None:
    """No profile, comment or text of the picture's, which may be as large as they like."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = shown(made(encoded(halves(), "JPEG", icc_profile=profile, comment=b"x" * 9999)))
    assert {"icc_profile", "comment", "exif"}.isdisjoint(image.info)


def test_the_first_frame_is_shown(made: Callable[[bytes], Made]) -> None:
    """Of what moves."""
    red, blue = (Image.new("RGB", (40, 40), colour) for colour in (RED, BLUE))
    for image_format in ("GIF", "WEBP", "PNG"):
        picture = encoded(red, image_format, save_all=True, append_images=[blue, blue])
        assert is_near(shown(made(picture)).convert("RGB"), (20, 20), RED)


def test_one_colour_has_no_hash(made: Callable[[bytes], Made]) -> None:
    """But a thumbnail."""
    preview = made(encoded(Image.new("RGB", (400, 300), RED)))
    assert (preview.width, preview.height, preview.phash) == (320, 240, None)


@pytest.mark.parametrize(
    ("width", "height"), [(10_001, 10_000), (30_000, 30_000), (2**31 - 1, 2**31 - 1)]
)
def test_a_bomb_is_known_by_its_header(
    refused: Callable[[bytes], str], width: int, height: int
) -> None:
    """Nothing of it is decoded: here is nothing to decode."""
    reason = f"it has more than the {MAX_PIXELS:,} pixels that are decoded"
    assert refused(png(width, height, IDAT, IEND)) == reason


def test_a_large_jpeg_is_decoded_small(made: Callable[[bytes], Made]) -> None:
    """It has more pixels than are decoded, and of it no more than needed are."""
    picture = encoded(Image.new("L", (12_000, 8_400), 99), "JPEG")
    assert shown(made(picture)).size == (320, 224)


FLAWED = {
    "cut short": encoded(scene(2))[:-2000],
    "a JPEG cut short": encoded(scene(2), "JPEG")[:-2000],
    "of another format": encoded(scene(2), "TIFF"),
    "of yet another": encoded(scene(2), "BMP"),
    "no picture at all": b"<html>",
    "nothing": b"",
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
}


@pytest.mark.parametrize("picture", FLAWED.values(), ids=FLAWED)
def test_what_cannot_be_decoded_is_refused(refused: Callable[[bytes], str], picture: bytes) -> None:
    """With a sentence; never with a half of it."""
    assert refused(picture).startswith(("it is none of PNG", "it cannot be decoded: "))


@pytest.mark.parametrize("picture", [body for body, _ in DAMAGED.values()], ids=DAMAGED)
def test_whatever_it_is_there_is_an_answer(tmp_path: Path, picture: bytes) -> None:
    """A damaged picture never ends the process by an exception."""
    assert isinstance(make(_file(tmp_path, picture)), Made | Refused)


def test_a_reason_is_short_and_has_no_path(refused: Callable[[bytes], str], tmp_path: Path) -> None:
    """It is kept with the picture, and shown."""
    for picture in (*FLAWED.values(), JPEG[:99], drawn("PNG")[:50]):
        reason = refused(picture)
        assert len(reason) <= 200
        assert str(tmp_path) not in reason
