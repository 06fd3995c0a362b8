"""ModelsLab's endpoints: submissions and fetches of every version, which answer alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from receiver.simulator.faults import UnknownFaultError, read_faults
from receiver.simulator.hangup import hang_up
from receiver.simulator.modelslab import answers, errors
from receiver.simulator.modelslab.errors import RefusalError
from receiver.simulator.modelslab.forms import REQUIRED, read_fields, read_submission
from receiver.simulator.modelslab.generations import Generation
from receiver.simulator.modelslab.studio import Studio
from receiver.simulator.premises import Premises

_REFUSALS = {
    "server_error": errors.server_error,
    "rate_limited": errors.rate_limited,
    "no_credit": errors.no_credit,
}
_BAD_GATEWAY = "<html><head><title>502 Bad Gateway</title></head><body>cloudflare</body></html>"


class ModelsLab:
    """The provider; see `premises.Provider`."""

    def __init__(self, premises: Premises) -> None:
        self._premises = premises
        self._studio = Studio(premises)
        self._dropped: set[tuple[str, str]] = set()

    def routes(self) -> list[web.RouteDef]:
        """Every version's paths and the pictures' links."""
        address = "/api/{address:(?:v[3-7]|v1/enterprise)/.+}"
        return [web.post(address, self._documented), *self._studio.cdn.routes()]

    def report(self) -> list[dict[str, Any]]:
        """What truly happened to each generation, oldest first."""
        return self._studio.report()

    async def _documented(self, request: web.Request) -> web.Response:
        steps = tuple(request.match_info["address"].rstrip("/").split("/"))
        try:
            fields = read_fields(await request.read())
            key = fields.get("key")
            if not isinstance(key, str) or not self._premises.accounts.knows(key):
                raise errors.invalid_key()
            if "fetch" in steps[-2:]:
                return self._fetch(steps, key, fields)
            if steps[-1] in REQUIRED:
                return await self._submit(request, steps, key, fields)
            raise errors.no_such_route(request.path)
        except RefusalError as refusal:
            return _response(refusal.document, refusal.status)

    async def _submit(
        self, request: web.Request, steps: tuple[str, ...], key: str, fields: Mapping[str, Any]
    ) -> web.Response:
        submission = read_submission(steps, fields)
        simulate = request.headers.getall("X-Simulate", ())
        try:
            faults = read_faults("modelslab", headers=simulate, prompt=submission.subject)
        except UnknownFaultError as error:
            raise RefusalError(str(error), 400) from error
        for name, refusal in _REFUSALS.items():
            if name in faults:
                raise refusal()
        generation = await self._studio.submit(steps, key, submission, faults)
        asked = (key, submission.subject)
        if "dropped" in faults and asked not in self._dropped:
            self._dropped.add(asked)
            return hang_up(request)
        if generation.state == "failed":
            return _response(answers.failed(generation, named=False))
        if generation.state == "success":
            return _response(answers.success(generation, self._studio.output(generation)))
        processing = answers.processing(
            generation,
            fetch_result=self._premises.base_url + answers.fetch_path(steps, generation.id),
            future_links=self._studio.future_links(generation),
            eta_seconds=self._studio.eta_seconds(generation),
        )
        return _response(processing, _status_while_processing(generation))

    def _fetch(self, steps: tuple[str, ...], key: str, fields: Mapping[str, Any]) -> web.Response:
        named = steps[-1] if steps[-1] != "fetch" else fields.get("request_id")
        if not named:
            raise errors.invalid_field("request_id", "field is required")
        generation = self._studio.find(str(named), key)
        if generation is None:
            raise errors.no_such_request()
        generation.queries += 1
        if generation.queries <= self._premises.pace.troubled_queries:
            if "throttled" in generation.faults:
                raise errors.queue_full()
            if "html_status" in generation.faults:
                return web.Response(status=502, text=_BAD_GATEWAY, content_type="text/html")
        if generation.state == "processing":
            eta_seconds = self._studio.eta_seconds(generation)
            still = answers.still_processing(generation, eta_seconds=eta_seconds)
            return _response(still, _status_while_processing(generation))
        if generation.state == "failed":
            return _response(answers.failed(generation, named=True))
        if "refreshed" in generation.faults:
            self._studio.refresh(generation)
        return _response(answers.fetched(generation, self._studio.output(generation)))


def _status_while_processing(generation: Generation) -> int:
    return 400 if "odd_status" in generation.faults else 200


def _response(document: Mapping[str, Any], status: int = 200) -> web.Response:
    body = answers.to_bytes(document)
    return web.Response(status=status, body=body, content_type="application/json")
