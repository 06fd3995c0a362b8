"""What is stamped on a picture that was drawn here, and what never is."""

from __future__ import annotations

import io
import json
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from fallback_renderer.notes import ignored
from fallback_renderer.provenance import SOURCE_TYPE, Provenance, parameters_of, stamp
from tests.fallback_renderer.requests import INIT, drawn

RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description"
IPTC = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
OURS = "{urn:holdfast:provenance:1#}"

FACTS: dict[str, Any] = {
    "provider": "modelslab",
    "generation_id": "302455",
    "index": 1,
    "model": "midjourney",
    "drawn_with": "sd15",
    "software": "holdfast 0.1.0, diffusers 0.42.1",
}


def _png(**options: Any) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (6, 4), (200, 30, 60)).save(file, "PNG", **options)
    return file.getvalue()


def _opened(png: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(png))
    image.load()
    return image


def _xmp(png: bytes) -> dict[str, str]:
    packet = _opened(png).info["XML:com.adobe.xmp"]
    (description,) = ElementTree.fromstring(packet).iter(RDF)
    return description.attrib


def _facts(png: bytes) -> dict[str, Any]:
    return json.loads(_opened(png).info["holdfast"])


PLAIN = _png()


def test_a_picture_says_that_it_was_drawn_here() -> None:
    """By the IPTC's digital source type, in words, and with everything that it was drawn with."""
    request = drawn(loras="animie", lora_strengths="0.7", seed=2**64 - 1)
    png = stamp(
        PLAIN,
        Provenance(**FACTS, parameters=parameters_of(request), notes=(ignored("vae", "why"),)),
    )

    assert _xmp(png)[f"{IPTC}DigitalSourceType"] == SOURCE_TYPE
    assert _xmp(png)[f"{OURS}Origin"] == "fallback"
    assert (_xmp(png)[f"{OURS}Provider"], _xmp(png)[f"{OURS}Generation"]) == ("modelslab", "302455")
    assert _opened(png).info["Software"] == FACTS["software"]
    facts = _facts(png)
    assert facts["notes"] == ["ignored: vae: why"]
    assert facts["parameters"]["seed"] == 2**64 - 1
    assert facts["parameters"]["loras"] == {"animie": 0.7}
    assert facts["parameters"]["checkpoint"] == "sd15"


def test_no_pixel_is_touched() -> None:
    """The picture under the stamp is the one that was drawn."""
    assert _opened(stamp(PLAIN, Provenance(**FACTS))).tobytes() == _opened(PLAIN).tobytes()


def test_the_same_is_stamped_the_same() -> None:
    """No time and no chance: equal facts are equal bytes, and a second stamp replaces the first."""
    once = stamp(PLAIN, Provenance(**FACTS))

    assert once == stamp(PLAIN, Provenance(**FACTS))
    assert once == stamp(stamp(PLAIN, Provenance(**{**FACTS, "index": 9})), Provenance(**FACTS))


def test_what_was_there_before_is_gone() -> None:
    """Neither EXIF nor texts, which may say where and when, nor what hangs on after the end."""
    info = PngInfo()
    info.add_text("Author", "somebody", zip=True)
    info.add_text("Comment", "at home")
    exif = Image.Exif()
    exif[0x010F] = "camera"
    png = stamp(_png(pnginfo=info, exif=exif) + b"tail", Provenance(**FACTS))

    image = _opened(png)
    assert set(image.info) == {
        *("XML:com.adobe.xmp", "xmp", "Software", "Description", "holdfast"),
    }
    assert not image.getexif()
    assert png.endswith(b"IEND\xae\x42\x60\x82")


SECRETS = [
    "https://user:word@host/a.png?Signature=hush",
    "https://host/a.png?Expires=1&OSSAccessKeyId=hush",
    "see host/a?X-Amz-Signature=hush now",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_no_secret_is_stamped(secret: str) -> None:
    """A link that somebody wrote into a prompt, a name or an id keeps its query to itself."""
    said = {name: secret if isinstance(it, str) else it for name, it in FACTS.items()}
    request = drawn(prompt=f"a cat, {secret}", seed=1)
    parameters = {**parameters_of(request), secret: [secret, {"deep": secret}]}
    png = stamp(PLAIN, Provenance(**said, parameters=parameters, notes=(ignored("vae", secret),)))

    assert b"hush" not in png
    assert b"word@" not in png
    assert "a cat" in _facts(png)["parameters"]["prompt"]


def test_no_path_of_this_machine_is_stamped() -> None:
    """Names and commits identify what was used; where it lies is nobody's business."""
    request = drawn(
        task="image-to-image",
        pictures=(INIT,),
        prompt="easyneg",
        embeddings="easyneg",
        loras="animie",
        vae="stabilityai/sd-vae-ft-mse",
    )

    said = json.dumps(parameters_of(request))

    for private in ("/models", "/loras", "/embeddings", "/vaes", "blobs/"):
        assert private not in said


def test_a_long_prompt_is_stamped_whole() -> None:
    """The picture alone is enough to draw it again."""
    prompt = "a word of many, " * 500
    png = stamp(PLAIN, Provenance(**FACTS, parameters=parameters_of(drawn(prompt=prompt))))

    assert _facts(png)["parameters"]["prompt"] == prompt


@given(st.text(st.characters(exclude_categories=()), max_size=30))
def test_any_text_can_be_stamped(text: str) -> None:
    """Control characters, quotes, half surrogates: the XML and the JSON are read all the same."""
    said = {name: text if isinstance(it, str) else it for name, it in FACTS.items()}
    png = stamp(PLAIN, Provenance(**said, parameters={text: text}))

    assert _xmp(png)[f"{IPTC}DigitalSourceType"] == SOURCE_TYPE
    assert _facts(png)["index"] == 1


@pytest.mark.parametrize(
    "broken", [b"", b"GIF89a", PLAIN[:20], PLAIN[:-3], PLAIN[:-12], PLAIN[8:]], ids=len
)
def test_what_is_no_png_is_refused(broken: bytes) -> None:
    """Half a picture is never stamped as one."""
    with pytest.raises(ValueError, match="PNG"):
        stamp(broken, Provenance(**FACTS))
