"""The page that says what is running here and what to type."""

from __future__ import annotations

import json
from shlex import quote

from receiver.simulator.faults import FAULTS

_MUTATION = "mutation Generate($input: GenerateInput!) { generate(input: $input) { id status } }"


def welcome_page(base_url: str, api_key: str) -> str:
    """Plain text for a newcomer: what this is, a curl line that works, the faults on offer."""
    request = {
        "query": _MUTATION,
        "variables": {
            "input": {
                "type": "IMAGE",
                "provider": "stable-diffusion",
                "input": {
                    "text": "A lighthouse at dawn",
                    "webhookUrl": "http://127.0.0.1:8080/webhooks/doitong",
                },
                "options": {"width": 1024, "height": 768},
            }
        },
    }
    faults = "\n".join(f"  {name:<13} {meaning}" for name, meaning in FAULTS.items())
    return f"""\
A provider to practise with. It speaks Doitong's documented API, draws every picture itself,
calls your webhook with a signed body and serves the picture behind a link that expires.

Ask it for a picture:

curl {base_url}/graphql \\
  -H 'Content-Type: application/json' \\
  -H {quote(f"Authorization: Bearer {api_key}")} \\
  -H 'X-Simulate: twice' \\
  -d {quote(json.dumps(request))}

X-Simulate is optional and names the faults you want, separated by commas:

{faults}

What truly happened: {base_url}/simulator/report
"""
