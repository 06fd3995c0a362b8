"""EventBridge: carries word of ended tasks to one URL, signed by version 2 of its scheme."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from receiver.simulator.clock import now
from receiver.simulator.dashscope.certificates import certificate_pem, new_key, rsa_sha256_base64
from receiver.simulator.dashscope.events import finished
from receiver.simulator.dashscope.tasks import Task
from receiver.simulator.deliveries import attempts
from receiver.simulator.premises import Premises
from receiver.simulator.reports import WebhookAttempt

CERTIFICATE_PATH = "/certificates/cn-beijing.pem"
_CONTENT_TYPE = "application/json;charset=utf-8"


class EventBridge:
    """One rule of an account's default bus: every ended task goes to `url` with `token`."""

    def __init__(self, premises: Premises, *, url: str, token: str, contain_result: bool) -> None:
        self._premises = premises
        self._url = url
        self._token = token
        self._contain_result = contain_result
        self._key = new_key()
        self._certificate = certificate_pem(self._key, now())

    def routes(self) -> list[web.RouteDef]:
        """The certificate by which the signatures are verified."""
        return [web.get(CERTIFICATE_PATH, self._serve_certificate)]

    async def tell(self, task: Task) -> None:
        """Deliver one event of an ended task, under its faults, until it is taken or given up."""
        if "never" in task.faults:
            return
        if "late" in task.faults:
            await asyncio.sleep(self._premises.pace.late_seconds)
        wrong = "wrong_secret" in task.faults
        key = await asyncio.to_thread(new_key) if wrong else self._key
        body = finished(task, event_id=str(uuid4()), at=now(), contain_result=self._contain_result)
        for _ in range(2 if "twice" in task.faults else 1):
            headers = self._headers(key, body)
            async for answer in attempts(self._premises.session, self._url, body, headers):
                task.webhook_attempts.append(WebhookAttempt(says=task.status, answered=answer))

    def _headers(self, key: RSAPrivateKey, body: bytes) -> dict[str, str]:
        signed = {
            "x-eventbridge-signature-timestamp": str(int(now().timestamp() * 1000)),
            "x-eventbridge-hash-method": "SHA256",
            "x-eventbridge-signature-version": "1.0",
            "x-eventbridge-signature-url": f"{self._premises.base_url}{CERTIFICATE_PATH}",
            "x-eventbridge-signature-token": self._token,
        }
        lines = [self._url, *(f"{name}: {value}" for name, value in signed.items())]
        message = "".join(f"{line}\n" for line in lines).encode() + body
        return {
            "Content-Type": _CONTENT_TYPE,
            **signed,
            "x-eventbridge-signature-v2": rsa_sha256_base64(key, message),
        }

    async def _serve_certificate(self, _: web.Request) -> web.Response:
        return web.Response(body=self._certificate, content_type="application/x-pem-file")
