"""The page that says what is running here and what to type."""

from __future__ import annotations

import json
from shlex import quote

from receiver.simulator.faults import fault_table

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
    return f"""\
Providers to practise with. They speak the documented APIs of Doitong, DashScope and ModelsLab,
draw every picture themselves, tell you of it and serve it behind a link that dies.

Ask Doitong for a picture:

curl {base_url}/graphql \\
  -H 'Content-Type: application/json' \\
  -H {quote(f"Authorization: Bearer {api_key}")} \\
  -H 'X-Simulate: twice' \\
  -d {quote(json.dumps(request))}

X-Simulate is optional and names the faults you want, separated by commas; the words
simulate:partial,purged in a prompt say the same where a client cannot send headers.

{fault_table()}

The others: {base_url}/api/v1 is DashScope's base URL; ModelsLab's paths begin with /api/v3,
/api/v4, /api/v6 and /api/v1/enterprise. Any key but `wrong` is an account of theirs.

What truly happened: {base_url}/simulator/report
"""
