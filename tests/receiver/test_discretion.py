"""What a service logs, as its configuration has it, and what it never does."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from receiver.config import from_tree
from receiver.sections import secrets_of
from tests.receiver.wire import ask, webhook
from tests.service import SECRET, eventually, running, starting, write_config


async def test_no_role_logs_a_secret_that_it_knows(tmp_path: Path) -> None:
    """Not even one that comes in as the word of a webhook, and looks like any other."""
    spoken = json.dumps({"id": "1", "status": SECRET}).encode()
    with running(tmp_path) as service:
        assert (await ask(service.public, webhook(spoken, secret=SECRET))).status == 202
        line = service.logged("an unknown status means running", role="archive")
        assert line["status"] == "…"
        service.stop()
    assert SECRET not in service.log


def test_every_secret_of_the_configuration_is_known() -> None:
    """Of all tables: webhooks', providers' keys, and what signs."""
    config = from_tree(
        {
            "providers": {
                "doitong": {"secrets": {"a": "secret 1", "b": "secret 2"}, "keys": {"a": "key 1"}},
                "dashscope": {"keys": {"a": "key 2"}},
            },
            "manifests": {"signing_key": "key 3", "trusted_keys": {"old": "public"}},
        }
    )
    found = sorted(filter(None, secrets_of(config)))
    assert found == ["key 1", "key 2", "key 3", "secret 1", "secret 2"]
    again = msgspec.json.decode(msgspec.json.encode(config), type=type(config))
    assert sorted(filter(None, secrets_of(again))) == found


async def test_all_processes_log_in_the_configured_style(tmp_path: Path) -> None:
    """Words, here, in the parent and in a role."""
    config_file = write_config(tmp_path, log={"format": "console"})
    with starting(config_file, roles=["receive"]) as service:

        async def both_ready() -> bool | None:
            return sum("ready" in line for line in service.lines) == 2 or None

        await eventually(both_ready)
    assert "role=receive" in service.log
    assert "role=supervisor" in service.log
    assert [line for line in service.lines if line.startswith("{")] == []
