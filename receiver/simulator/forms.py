"""The three documented ways to ask for a picture, each read into one Submission.

The provider's page documents `generate` (type, provider, input.text, options), `generateImage`
(service, prompt, …) and a REST endpoint with the flat parameters of its table. Where `generate`
takes its webhookUrl is not documented, so every plausible place is good.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from receiver.simulator.generations import Submission
from receiver.simulator.refusals import bad_input

LARGEST_SIDE = 8192


def read_generate(arguments: Mapping[str, Any]) -> Submission:
    """`generate(input: GenerateInput!)`; raises RefusalError 400 for what it cannot use."""
    asked = _object(arguments, "input")
    if asked.get("type", "IMAGE") != "IMAGE":
        raise bad_input("type must be IMAGE: nothing else is drawn here")
    source = _object(asked, "input")
    options = _object(asked, "options") if asked.get("options") is not None else {}
    places = (asked, source, options)
    webhook_urls = (place["webhookUrl"] for place in places if place.get("webhookUrl") is not None)
    return _submission(
        service=asked.get("provider"),
        prompt=source.get("text"),
        settings={**options, "webhookUrl": next(webhook_urls, None)},
    )


def read_generate_image(arguments: Mapping[str, Any]) -> Submission:
    """`generateImage(input: ImageGenerationInput!)`; raises RefusalError as `read_flat` does."""
    return read_flat(_object(arguments, "input"))


def read_flat(parameters: Mapping[str, Any]) -> Submission:
    """The flat parameters of the documented table; raises RefusalError 400."""
    return _submission(
        service=parameters.get("service"), prompt=parameters.get("prompt"), settings=parameters
    )


MUTATIONS: Mapping[str, Callable[[Mapping[str, Any]], Submission]] = {
    "generate": read_generate,
    "generateImage": read_generate_image,
}


def _submission(*, service: Any, prompt: Any, settings: Mapping[str, Any]) -> Submission:
    return Submission(
        service=_required_text(service, "the service"),
        prompt=_required_text(prompt, "the prompt"),
        width=_side(settings, "width"),
        height=_side(settings, "height"),
        version=_text(settings.get("version"), "version"),
        quality=_text(settings.get("quality"), "quality"),
        webhook_url=_webhook_url(settings.get("webhookUrl")),
    )


def _object(place: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = place.get(name)
    if not isinstance(value, Mapping):
        raise bad_input(f"{name} must be an object")
    return value


def _text(value: Any, name: str) -> str | None:
    if value is not None and not (isinstance(value, str) and _is_unicode(value)):
        raise bad_input(f"{name} must be a string")
    return value


def _is_unicode(text: str) -> bool:
    # JSON can write half a surrogate pair, which no text can hold.
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _required_text(value: Any, name: str) -> str:
    text = _text(value, name)
    if not text or not text.strip():
        raise bad_input(f"{name} is required")
    return text


def _side(settings: Mapping[str, Any], name: str) -> int:
    value = settings.get(name)
    if value is None:
        return 1024
    if type(value) is not int or not 1 <= value <= LARGEST_SIDE:
        raise bad_input(f"{name} must be a whole number of pixels from 1 to {LARGEST_SIDE}")
    return value


def _webhook_url(value: Any) -> str | None:
    url = _text(value, "webhookUrl")
    try:
        well_formed = url is None or (
            urlsplit(url).scheme in {"http", "https"} and bool(urlsplit(url).hostname)
        )
    except ValueError:
        well_formed = False
    if not well_formed:
        raise bad_input("webhookUrl must be an http or https URL")
    return url
