"""The command line as an operator types it, on an archive that the real service made."""

from __future__ import annotations

import http.client
import json
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from archiver import clock, search
from archiver.catalog import walks
from archiver.sqlite import open_writer
from receiver.cli import COMMANDS, main
from tests.service import (
    HOLDFAST,
    PATIENCE_SECONDS,
    SECRET,
    Service,
    from_simulator,
    holdfast,
    running,
)

PROMPTS = {
    "": "A lighthouse in a storm",
    "twice": "赛博朋克少女，雨夜的街道",
    "moderated": "Something they will not draw",
    "dead_link": "A glass whale [bold]above[/bold]\n\x1b[31m a field",
}


@dataclass(frozen=True, slots=True)
class Archive:
    """A running service whose every generation has ended, and their ids by fault."""

    service: Service
    ids: dict[str, str]

    def run(self, *arguments: str) -> Result:
        return typed(self.service.config_file, *arguments)

    def json(self, *arguments: str) -> Any:
        """What a command prints with `--json`."""
        done = self.run(*arguments, "--json")
        assert (done.exit_code, done.stderr) == (0, "")
        assert done.stdout.count("\n") == 1
        return json.loads(done.stdout)


def typed(config_file: Path, *arguments: str) -> Result:
    """A command run to its end, inside this process, which is quicker to start."""
    return CliRunner().invoke(main, ["--config", str(config_file), *arguments])


def say(port: int, method: str, path: str, body: object, **headers: str) -> Any:
    """One request with a JSON body; the JSON answer, or None."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, json.dumps(body), names)
    with connection.getresponse() as answer:
        assert answer.status < 300, answer.read()
        told = answer.read()
        is_json = answer.headers.get_content_type() == "application/json"
    connection.close()
    return json.loads(told) if is_json else None


def submit(service: Service, simulator: int, fault: str) -> str:
    """A prompt to the simulated provider, and what was asked for to holdfast."""
    webhook_url = f"http://127.0.0.1:{service.public}/webhooks/doitong"
    asked = {"text": PROMPTS[fault], "webhookUrl": webhook_url}
    request = {
        "query": "mutation ($input: GenerateInput!) { generate(input: $input) { id } }",
        "variables": {"input": {"provider": "flux-pro", "input": asked}},
    }
    headers = {"Authorization": "Bearer practice", "X_Simulate": fault}
    answer = say(simulator, "POST", "/graphql", request, **headers)
    generation_id: str = answer["data"]["generate"]["id"]
    say(service.private, "PUT", f"/api/v1/generations/doitong/{generation_id}", request)
    return generation_id


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """Made by `holdfast serve` out of what `holdfast simulate` sent it."""
    folder = tmp_path_factory.mktemp("archive")
    secret = folder / "secret"
    secret.write_text(f"{SECRET}\n")
    command = [HOLDFAST, "simulate", "--listen", "127.0.0.1:0", "--secret-file", str(secret)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as simulating:
        assert simulating.stderr is not None
        url = simulating.stderr.readline().split()[-1]
        try:
            with running(folder, egress=from_simulator(url)) as service:
                simulator = int(url.rpartition(":")[2])
                ids = {fault: submit(service, simulator, fault) for fault in PROMPTS}
                made = Archive(service, ids)
                gives_up_at = clock.monotonic() + PATIENCE_SECONDS
                while made.json("status")["slots"] != {"archived": 2, "held": 2}:
                    assert clock.monotonic() < gives_up_at, service.log
                    time.sleep(0.1)
                yield made
        finally:
            simulating.terminate()
        assert simulating.wait(PATIENCE_SECONDS) == 0


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_is_for(name: str) -> None:
    """`--help` needs no configuration and ends well; `-h` is the same."""
    runner = CliRunner()
    told = runner.invoke(main, ["--config", "/nowhere.toml", name, "--help"])
    assert told.exit_code == 0, told.output
    assert told.output.startswith(f"Usage: main {name}")
    assert runner.invoke(main, [name, "-h"]).output == told.output


def test_the_commands_are_listed_without_being_loaded() -> None:
    """`holdfast --help` names every command and what it is for."""
    listed = " ".join(CliRunner().invoke(main, ["--help"]).output.split())
    for name, what in COMMANDS.items():
        assert f"{name} {what}" in listed
    assert re.fullmatch(
        r"holdfast, version \d+\.\d+\.\d+\n", CliRunner().invoke(main, ["--version"]).output
    )


def test_the_installed_command_is_this_one(archive: Archive) -> None:
    """Run as a process of its own it prints the same, and its exit codes are those of the shell:
    0 well, 1 an error, 2 wrong usage."""
    config_file = archive.service.config_file
    searched = holdfast(config_file, "search", "--json")
    assert (searched.returncode, searched.stderr) == (0, "")
    assert json.loads(searched.stdout) == archive.json("search")
    unknown = holdfast(config_file, "show", "nobody")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert unknown.stderr.startswith("Error: nothing is known of 'nobody'")
    assert holdfast(config_file, "nonsense").returncode == 2


def test_search_finds_by_words(archive: Archive) -> None:
    """The numbers of the hits lead to everything else; newest first; cursors continue."""
    everything = archive.json("search")
    assert [hit["number"] for hit in everything["hits"]] == [4, 3, 2, 1]
    assert {hit["prompt"] for hit in everything["hits"]} == {*PROMPTS.values()}
    assert everything["cursor"] is None
    first = archive.json("search", "--limit", "3")
    rest = archive.json("search", "--limit", "3", "--cursor", str(first["cursor"]))
    assert first["hits"] + rest["hits"] == everything["hits"]
    [hit] = archive.json("search", "雨夜")["hits"]
    assert (hit["id"], hit["state"]) == (archive.ids["twice"], "archived")
    assert archive.json("search", "lighthouse", "whale") == {
        "hits": [],
        "cursor": None,
        "partial": False,
        "count": {"number": 0, "exact": True},
    }
    others = archive.json("search", "-whale", "sort:oldest")["hits"]
    assert others == [hit for hit in everything["hits"][::-1] if "whale" not in hit["prompt"]]


def test_who_types_gets_whole_pages(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    """However few rows are looked at for one answer."""
    monkeypatch.setattr(search, "_MOST_SCANNED", 1)
    monkeypatch.setattr(walks, "_FIRST_STEP", 1)
    found = archive.json("search", "created:>=2000", "--limit", "3")
    assert [hit["number"] for hit in found["hits"]] == [4, 3, 2]
    assert (found["partial"], found["count"]["exact"]) == (False, False)
    rest = archive.json("search", "created:>=2000", "--cursor", found["cursor"])
    assert [hit["number"] for hit in rest["hits"]] == [1]
    assert rest["cursor"] is None


def test_search_speaks_to_people(archive: Archive) -> None:
    """A table on stdout; the rest on stderr; no prompt paints the terminal."""
    assert archive.run("search", "--limit", "3").stderr == "4 in all; go on with --cursor 2\n"
    done = archive.run("search")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "A glass whale [bold]above[/bold] [31m a field" in " ".join(done.stdout.split())
    assert "\x1b" not in done.stdout
    nothing = archive.run("search", "wolf")
    assert (nothing.exit_code, nothing.stdout, nothing.stderr) == (0, "", "nothing found\n")
    wrong = archive.run("search", "whale", "steps:many")
    assert (wrong.exit_code, wrong.stdout) == (2, "")
    assert "at character 13, 'whale steps:many': steps: takes a number" in wrong.stderr
    for cursor in ("x", "-1", "9" * 30):
        assert archive.run("search", "--cursor", cursor).exit_code == 2
    for command in (("search",), ("export", "--out", "nowhere.csv")):
        mistyped = archive.run(*command, "whale", "--limt", "5")
        assert (mistyped.exit_code, "--limt" in mistyped.stderr) == (2, True)
    assert "did you mean provider:" in archive.run("search", "porvider:doitong").stderr


def test_show_tells_the_story_under_every_name(archive: Archive) -> None:
    """By provider and id, by archive number, by a prefix of the picture's digest."""
    story = archive.json("show", f"doitong/{archive.ids['twice']}")
    [slot] = story["slots"]
    [asset] = slot["assets"]
    digest = asset["sha256"]
    assert (slot["state"], story["params"]["prompt"]) == ("archived", PROMPTS["twice"])
    assert [told["heard"] for told in story["deliveries"]].count("pushed") == 1
    # A prefix of digits alone would be an archive number.
    names = [str(slot["number"]), f"sha256:{digest[:9]}", digest, digest.upper()]
    assert [archive.json("show", name) for name in names] == [story] * len(names)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("moderated", "moderation, never drawn: "), ("dead_link", "no renderer: the link died at ")],
)
def test_show_gives_the_reason_of_a_loss(archive: Archive, fault: str, reason: str) -> None:
    """What did not come says why, as JSON and to people, without the link's query."""
    name = f"doitong/{archive.ids[fault]}"
    [slot] = archive.json("show", name)["slots"]
    told = archive.run("show", name)
    assert slot["state"] == "held"
    assert slot["reason"].startswith(reason)
    assert (told.exit_code, told.stderr) == (0, "")
    assert f"held: {reason}" in " ".join(told.stdout.split())
    assert "\x1b" not in told.stdout
    assert "Signature" not in told.stdout


def test_status_counts_what_is_safe_and_what_is_not(archive: Archive) -> None:
    """The same counts as JSON and to people."""
    status = archive.json("status")
    told = archive.run("status").stdout
    assert status["generations"] == {"doitong failed": 1, "doitong succeeded": 3}
    assert status["slots"] == {"archived": 2, "held": 2}
    assert status["holds"] == {"no renderer": 1, "moderation, never drawn": 1}
    assert (status["losses"], status["first_loss_at"]) == ({}, None)
    assert status["archive_beat_seconds_ago"] >= 0
    assert "slots        2 archived, 2 held\n" in told
    assert "first loss   nothing waits to be fetched\n" in told
    assert status["disk"]["free_bytes"] > status["disk"]["min_free_bytes"] > 0
    assert " GiB free\n" in told


def test_status_tells_of_webhooks_that_were_refused(archive: Archive, tmp_path: Path) -> None:
    """A wrong secret is to be seen before its senders give up."""
    forged = tmp_path / "secret"
    forged.write_text("guessed")
    url = f"http://127.0.0.1:{archive.service.public}/webhooks/doitong"
    archive.run("send", url, "--secret-file", str(forged))
    reason = "the signature matches none of our secrets"
    gives_up_at = clock.monotonic() + PATIENCE_SECONDS
    while not archive.json("status")["refused"]:  # nobody waits for the quarantine
        assert clock.monotonic() < gives_up_at
    [refused] = archive.json("status")["refused"]
    assert (refused["source"], refused["reason"]) == ("doitong", reason)
    assert f"s ago: {reason}\n" in archive.run("status").stdout


def test_send_proves_the_way_of_a_webhook(archive: Archive, tmp_path: Path) -> None:
    """202 and then 200 for the same, with the configured secret or one from a file."""
    url = f"http://127.0.0.1:{archive.service.public}/webhooks/doitong"
    body, secret = tmp_path / "body", tmp_path / "secret"
    body.write_text('{"id": "practice", "status": "processing"}')
    secret.write_text(f"{SECRET}\n")
    sent = archive.run("send", url, "--body", str(body))
    assert (sent.exit_code, sent.stdout, sent.stderr) == (0, "202 stored\n", "")
    again = archive.json("send", url, "--body", str(body), "--secret-file", str(secret))
    assert again == {"status": 200, "answer": "known already"}
    assert archive.json("send", url, "--id", "hello", "--status", "failed")["status"] == 202


def test_send_with_a_wrong_secret_fails(archive: Archive, tmp_path: Path) -> None:
    """Exit code 1, and the receiver's own words."""
    secret = tmp_path / "secret"
    secret.write_text("guessed")
    url = f"http://127.0.0.1:{archive.service.public}/webhooks/doitong"
    sent = archive.run("send", url, "--secret-file", str(secret))
    refused = "401 the signature matches none of our secrets\n"
    assert (sent.exit_code, sent.stdout) == (1, refused)
    as_json = archive.run("send", url, "--secret-file", str(secret), "--json")
    assert (as_json.exit_code, json.loads(as_json.stdout)["status"]) == (1, 401)


USAGE = [
    ["nonsense"],
    ["search", "--limit", "0"],
    ["search", "--limit", "1001"],
    ["search", "steps:many"],
    ["show"],
    ["send"],
    ["send", "http://127.0.0.1:1/", "--secret-file", "/nowhere"],
    ["serve", "--role", "paint"],
    ["simulate"],
    ["status", "--nonsense"],
]


@pytest.mark.parametrize("arguments", USAGE, ids=" ".join)
def test_what_cannot_be_typed_is_wrong_usage(arguments: list[str]) -> None:
    """Exit code 2, with a way to help."""
    done = CliRunner().invoke(main, arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "--help" in done.stderr


WRONG = {
    "no such file": (["status"], None, "cannot be read: No such file or directory"),
    "not TOML": (["status"], "[listen", "is not TOML"),
    "an unknown setting": (["status"], "[listen]\npubic = 1", "no setting is called listen.pubic"),
    "no archive": (["status"], "", "there is no archive at"),
    "no archive to search": (["search", "fox"], "", "there is no archive at"),
    "no archive to show": (["show", "1"], "", "there is no archive at"),
    "no secret": (["send", "http://127.0.0.1:1/"], "", "there is no secret to sign with"),
    "no provider": (["serve"], "", "no provider is configured"),
    "an empty secret": (["serve"], '[providers.doitong]\nsecrets.a = " "', "labelled 'a' is empty"),
    "no host and port": (["serve", "--public", "8080"], "", "'8080' is not host:port"),
    "a port beyond all": (["serve", "--private", "[::1]:65536"], "", "is not host:port"),
    "no archive of the demo": (["demo", "--once", "--data", "/dev/null/x"], "", "cannot be made"),
}


@pytest.mark.parametrize(("arguments", "config", "says"), WRONG.values(), ids=WRONG)
def test_an_error_is_a_sentence_on_stderr(
    tmp_path: Path, arguments: list[str], config: str | None, says: str
) -> None:
    """Exit code 1, nothing on stdout, and no traceback."""
    file = tmp_path / "holdfast.toml"
    if config is not None:
        file.write_text(f'{config}\n[catalog]\nurl = "sqlite:///{tmp_path}/catalog.db"')
    done = typed(file, *arguments)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: ")
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_bytes_that_are_no_text_name_nothing(archive: Archive) -> None:
    """A slip of the terminal is answered like any other name, not with a traceback."""
    shown, searched = (archive.run(command, "doitong/\udcff") for command in ("show", "search"))
    assert (shown.exit_code, searched.exit_code) == (1, 0)
    assert shown.stderr.startswith("Error: nothing is known of 'doitong/?'")


@pytest.mark.parametrize("name", ["nobody", "doitong/nobody", "0", "9" * 30, "abc", "sha256:", ""])
def test_a_name_that_nothing_goes_by(archive: Archive, name: str) -> None:
    """The sentence says which names there are."""
    done = archive.run("show", name)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: nothing is known of '{name}'; an ID is PROVIDER/")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "url", ["nonsense", "ftp://example.org/", "http://[::1", "http://h:99999/"]
)
def test_an_address_that_is_none_cannot_be_sent_to(tmp_path: Path, url: str) -> None:
    """One sentence names it."""
    (tmp_path / "secret").write_text("s")
    done = typed(tmp_path / "none.toml", "send", url, "--secret-file", str(tmp_path / "secret"))
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: {url} cannot be reached: ")
    assert done.stderr.count("\n") == 1


def test_a_receiver_that_is_not_there_is_said(tmp_path: Path) -> None:
    """Nobody listening is an error of one sentence, and so is a secret that is no text."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
    secret = tmp_path / "secret"
    for content, says in (b"s", "cannot be reached: "), (b"\xff", "cannot be read as text"):
        secret.write_bytes(content)
        done = typed(tmp_path / "none.toml", "send", url, "--secret-file", str(secret))
        assert (done.exit_code, done.stdout) == (1, "")
        assert says in done.stderr
        assert done.stderr.count("\n") == 1


def test_a_simulator_says_where_it_cannot_stand(tmp_path: Path) -> None:
    """An address that is taken is one sentence; any secret's bytes will do."""
    (tmp_path / "secret").write_bytes(b"\xff\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        arguments = ["--listen", listen, "--secret-file", str(tmp_path / "secret")]
        done = CliRunner().invoke(main, ["simulate", *arguments])
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: --listen = '{listen}' cannot be bound: ")


def test_the_index_is_filled_anew_beside_the_service(archive: Archive) -> None:
    """Whatever has become of it; the answer says of how many generations."""
    everything = archive.json("search")
    damaged = open_writer(archive.service.config_file.with_name("catalog.db"))
    damaged.execute("INSERT INTO texts_fts (texts_fts) VALUES ('delete-all')")
    damaged.execute("UPDATE cards SET state='expected'")
    damaged.close()
    assert archive.json("search", "whale")["hits"] == []
    ill = archive.run("doctor")
    assert (ill.exit_code, ill.stdout.count("holdfast reindex mends it")) == (1, 2)
    done = archive.run("reindex")
    count = len(everything["hits"])  # of one slot each
    assert (done.exit_code, done.stdout) == (0, f"{count} generations are indexed anew\n")
    assert archive.json("search") == everything
    assert len(archive.json("search", "whale")["hits"]) == 1
    well = archive.run("doctor")
    assert (well.exit_code, "fail" in well.stdout) == (0, False)
