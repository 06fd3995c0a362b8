"""`holdfast submit`: nothing is lost, nothing is sent twice, whatever happens in between."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from archiver.models import GenerationState
from receiver.simulator import Simulator
from tests.receiver.submission.typed import Doitong, Shop, a_doitong, answering, shop
from tests.service import PATIENCE_SECONDS, SECRET, from_simulator, running

PLAIN = ("--provider", "doitong", "--no-wait", "--json")


@pytest.fixture
async def doitong() -> AsyncIterator[Doitong]:
    """A provider that answers as it is told."""
    async with a_doitong() as provider:
        yield provider


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """All three providers, as they are documented."""
    async with Simulator(secret=SECRET.encode(), drawing_seconds=0.05) as practice:
        yield practice


def events(place: Shop, row: int = 1) -> list[str]:
    return [entry["event"] for entry in place.journal() if entry["row"] == row]


def begun(simulator: Simulator) -> list[str]:
    """The ids of what was truly begun."""
    return [told["id"] for told in simulator.report()]


class TestOnePrompt:
    """A prompt on the command line."""

    @pytest.mark.parametrize(
        ("provider", "options", "params"),
        [
            ("doitong", ["--width", "512", "--height", "640"], {"width": 512, "height": 640}),
            ("dashscope", ["--model", "stable-diffusion-xl", "--samples", "2"], {"samples": 2}),
            ("modelslab", ["--model", "sdxl", "--seed", "7"], {"seed": 7}),
        ],
    )
    async def test_is_recorded_before_it_is_called_submitted(
        self,
        tmp_path: Path,
        simulator: Simulator,
        provider: str,
        options: list[str],
        params: dict[str, int],
    ) -> None:
        """Without any service: the inbox knows the id, the prompt and what was asked for."""
        place = shop(tmp_path, simulator.base_url)

        done = await place.submit("a cat", "--provider", provider, "--no-wait", "--json", *options)

        assert (done.code, [row["state"] for row in done.rows]) == (0, ["submitted"]), done.err
        assert begun(simulator) == [done.rows[0]["id"]]
        [said] = place.heard()
        assert (said.provider, said.generation_id) == (provider, done.rows[0]["id"])
        assert (said.params.prompt, bool(said.account)) == ("a cat", True)
        assert {name: getattr(said.params, name) for name in params} == params
        assert list((tmp_path / "submitted").iterdir()) == []

    async def test_that_was_paused_can_go_on(self, tmp_path: Path, doitong: Doitong) -> None:
        """It is kept as a batch of one, and the command says what to type."""
        doitong.answers = [answering(401)]
        place = shop(tmp_path, doitong.url)

        paused = await place.submit("a cat", *PLAIN)
        words = paused.err.rpartition("to go on: holdfast ")[2].split()
        done = await place.submit(*words[words.index("submit") + 1 :])

        assert (paused.code, done.code) == (1, 0), paused.err + done.err
        assert doitong.asked == ["a cat", "a cat"]
        assert "mend the key" in paused.err

    @pytest.mark.parametrize(
        ("arguments", "code", "words"),
        [
            (["--provider", "doitong"], 2, "give a PROMPT or a --batch"),
            (["a cat"], 2, "say to whom: --provider NAME"),
            (["a cat", "--provider", "doitong", "--seed", "7"], 1, "doitong takes none"),
            (["a cat", "--provider", "doitong", "--width", "x"], 1, "width: expected int"),
            (["a cat", "--provider", "doitong", "--key", "yours"], 1, "keys has mine"),
        ],
    )
    async def test_that_makes_no_sense(
        self, tmp_path: Path, doitong: Doitong, arguments: list[str], code: int, words: str
    ) -> None:
        """Nothing is sent of it."""
        done = await shop(tmp_path, doitong.url).submit(*arguments)

        assert (done.code, doitong.asked) == (code, [])
        assert words in done.err


class TestCrashes:
    """A command that dies while a row is on its way."""

    async def test_doitong_is_asked_again_with_the_same_key(
        self, tmp_path: Path, doitong: Doitong
    ) -> None:
        """Killed after the provider began and before anybody knew: one generation, not two."""
        doitong.answers = [doitong.begin, doitong.begin_and_say_nothing]
        place = shop(tmp_path, doitong.url)
        batch = place.batch({"prompt": "one"}, {"prompt": "two"}, {"prompt": "three"})
        async with place.submitting("--batch", batch, *PLAIN) as process:
            await doitong.until_asked(2)
            process.send_signal(signal.SIGKILL)
            await process.wait()

        done = await place.submit("--batch", batch, *PLAIN)

        assert done.code == 0, done.err
        assert {row["id"] for row in done.rows} == {"g1", "g2", "g3"} == {*doitong.begun.values()}
        assert {said.generation_id for said in place.heard()} == {"g1", "g2", "g3"}

    async def test_dashscope_is_asked_for_its_list(
        self, tmp_path: Path, simulator: Simulator
    ) -> None:
        """An answer that never came is found in the account's own list, and the row adopts it."""
        place = shop(tmp_path, simulator.base_url)
        given = {"provider": "dashscope", "model": "stable-diffusion-v1.5"}
        batch = place.batch({**given, "prompt": "a cat simulate:dropped", "seed": 7})

        done = await place.submit("--batch", batch, "--no-wait", "--json")

        assert done.code == 0, done.err
        assert [row["id"] for row in done.rows] == begun(simulator)
        assert events(place) == ["sending", "submitted"]
        told, seen = place.heard()
        assert (told.params.prompt, told.params.seed) == ("a cat simulate:dropped", 7)
        assert seen.account is not None
        assert seen.state is not GenerationState.FAILED

    async def test_dashscope_holds_what_the_list_does_not_settle(
        self, tmp_path: Path, simulator: Simulator
    ) -> None:
        """Two tasks fit, so neither is taken for the row's; a person decides."""
        place = shop(tmp_path, simulator.base_url)
        given = {"provider": "dashscope", "model": "stable-diffusion-xl"}
        first = place.batch({**given, "prompt": "a dog"}, name="first.ndjson")
        await place.submit("--batch", first, "--no-wait")
        batch = place.batch({**given, "prompt": "a cat simulate:dropped"})

        held = await place.submit("--batch", batch, "--no-wait", "--json")

        assert (held.code, held.rows[0]["state"]) == (3, "held")
        assert "2 tasks of the account fit" in held.rows[0]["reason"]
        assert events(place) == ["sending"]

    async def test_modelslab_holds_what_nobody_can_know(
        self, tmp_path: Path, simulator: Simulator
    ) -> None:
        """The row is never sent again by itself; `--resend` is the operator's word, and works."""
        place = shop(tmp_path, simulator.base_url)
        row = {"provider": "modelslab", "model": "sdxl", "prompt": "a cat simulate:dropped"}
        batch = place.batch(row)

        held = await place.submit("--batch", batch, "--no-wait", "--json")
        again = await place.submit("--batch", batch, "--no-wait", "--json")
        assert (held.code, again.code, len(begun(simulator))) == (3, 3, 1)
        assert "--resend" in held.err

        resent = await place.submit("--batch", batch, "--no-wait", "--json", "--resend")
        assert (resent.code, resent.rows[0]["id"]) == (0, begun(simulator)[1])
        assert events(place) == ["sending", "waiting", "sending", "submitted"]

    async def test_a_changed_row_is_refused(self, tmp_path: Path, doitong: Doitong) -> None:
        """A row that was sent is not another one all of a sudden; new ones may follow it."""
        place = shop(tmp_path, doitong.url)
        await place.submit("--batch", place.batch({"prompt": "one"}), *PLAIN)

        changed = await place.submit("--batch", place.batch({"prompt": "uno"}), *PLAIN)
        longer = place.batch({"prompt": "one", "name": "first"}, {"prompt": "two"})
        grown = await place.submit("--batch", longer, *PLAIN)

        assert (changed.code, grown.code) == (1, 0), grown.err
        assert "row 1 has changed since it was sent" in changed.err
        assert doitong.asked == ["one", "two"]


class TestWebhooks:
    """Where the provider is asked to tell us."""

    @pytest.mark.parametrize(
        ("options", "expected"),
        [([], "https://archive.example/webhooks/doitong"), (["--no-webhook"], None)],
    )
    async def test_doitong_is_told_where(
        self, tmp_path: Path, doitong: Doitong, options: list[str], expected: str | None
    ) -> None:
        """Once `public_url` says where we are, unless the operator says no."""
        place = shop(tmp_path, doitong.url)
        place.env["HOLDFAST_PUBLIC_URL"] = "https://archive.example/"

        await place.submit("a cat", *PLAIN, *options)

        assert doitong.webhook_urls == [expected]


class TestLimits:
    """What the provider's plan and its answers ask for."""

    async def test_too_many_requests(self, tmp_path: Path, doitong: Doitong) -> None:
        """429 is waited out as long as it says, and the row is sent under a key of its own."""
        doitong.answers = [answering(429, Retry_After="1")]
        place = shop(tmp_path, doitong.url)

        done = await place.submit("--batch", place.batch({"prompt": "one"}), *PLAIN)

        assert (done.code, doitong.asked) == (0, ["one", "one"]), done.err
        assert events(place) == ["sending", "waiting", "sending", "submitted"]
        first, waiting, second, _ = place.journal()
        assert first["key"] != second["key"]
        assert second["at"] > waiting["at"]

    async def test_a_server_error_leaves_doubt(self, tmp_path: Path, doitong: Doitong) -> None:
        """500 may have begun one: asked again under the same key, as often as is documented."""
        doitong.answers = [answering(500), answering(503)]
        place = shop(tmp_path, doitong.url)

        done = await place.submit("--batch", place.batch({"prompt": "one"}), *PLAIN)

        assert (done.code, doitong.asked) == (0, ["one"] * 3), done.err
        assert events(place) == ["sending", "submitted"]

    async def test_a_refusal_of_the_second_try_settles_nothing(
        self, tmp_path: Path, doitong: Doitong
    ) -> None:
        """Begun, and answered 500: that the credit is gone now does not say it was not begun."""
        doitong.answers = [doitong.begin_and_fail, answering(402), answering(402), answering(402)]
        place = shop(tmp_path, doitong.url)
        batch = place.batch({"prompt": "one"})

        paused = await place.submit("--batch", batch, *PLAIN)
        assert (paused.code, events(place)) == (1, ["sending"])
        assert "asking again cannot begin it twice" in paused.err

        done = await place.submit("--batch", batch, *PLAIN)
        assert (done.code, [*doitong.begun.values()]) == (0, ["g1"]), done.err

    async def test_no_credit_pauses(self, tmp_path: Path, simulator: Simulator) -> None:
        """The rest waits, the sentence says how much is missing, and mended it goes on."""
        place = shop(tmp_path, simulator.base_url, warn_credits=15)
        rows = [{"prompt": "one"}, {"prompt": "two simulate:no_credit"}, {"prompt": "three"}]
        given = ("--provider", "doitong", "--no-wait", "--json")

        paused = await place.submit("--batch", place.batch(*rows), *given)

        assert paused.code == 1
        assert "INSUFFICIENT_CREDITS" in paused.err
        assert "20 required, 10 available" in paused.err
        assert "20 credits spent, beyond warn_credits = 15" in paused.err
        assert "to go on: holdfast --config" in paused.err
        assert paused.rows[1]["state"] == "waiting"
        rows[1] = {"prompt": "two"}

        done = await place.submit("--batch", place.batch(*rows), *given)

        assert done.code == 0, done.err
        assert {row["id"] for row in done.rows} == {*begun(simulator)}
        assert len(begun(simulator)) == 3

    async def test_many_rows_want_a_word(self, tmp_path: Path, doitong: Doitong) -> None:
        """What a batch will cost is said, and without `--yes` nobody is asked in a pipe."""
        place = shop(tmp_path, doitong.url, credits_per_picture=20)
        batch = place.batch(*({"prompt": f"number {n}"} for n in range(21)))

        asked = await place.submit("--batch", batch, *PLAIN)
        assert (asked.code, doitong.asked) == (1, [])
        assert "21 rows to doitong, 21 pictures, some 420 credits" in asked.err

        done = await place.submit("--batch", batch, *PLAIN, "--yes")
        assert (done.code, len(doitong.begun)) == (0, 21), done.err

    async def test_ctrl_c(self, tmp_path: Path, doitong: Doitong) -> None:
        """What is on its way comes in, the rest waits in the journal, and it says how to go on."""
        place = shop(tmp_path, doitong.url, per_minute=1)
        batch = place.batch({"prompt": "one"}, {"prompt": "two"})
        async with place.submitting("--batch", batch, "--provider", "doitong") as process:
            assert process.stderr is not None
            async with asyncio.timeout(PATIENCE_SECONDS):
                while b"1 requests a minute" not in await process.stderr.readline():
                    pass
                process.send_signal(signal.SIGINT)
                _, err = await process.communicate()

        assert (process.returncode, doitong.asked) == (1, ["one"])
        assert b"stopped; nothing is lost" in err
        assert b"to go on: holdfast" in err
        assert events(place) == ["sending", "submitted"]
        assert events(place, row=2) == []

    async def test_nobody_archives(self, tmp_path: Path, doitong: Doitong) -> None:
        """Waiting for pictures that no service will fetch is said to be in vain."""
        place = shop(tmp_path, doitong.url)
        async with place.submitting("a cat", "--provider", "doitong") as process:
            assert process.stderr is not None
            async with asyncio.timeout(PATIENCE_SECONDS):
                while b"start `holdfast serve`" not in await process.stderr.readline():
                    pass
                process.send_signal(signal.SIGINT)
                out, _ = await process.communicate()

        assert (process.returncode, out) == (1, b"row 1: submitted doitong/g1\n")

    async def test_a_provider_out_of_reach(self, tmp_path: Path) -> None:
        """Nothing was sent, so nothing is in doubt."""
        place = shop(tmp_path, "http://127.0.0.1:9")

        done = await place.submit("--batch", place.batch({"prompt": "one"}), *PLAIN)

        assert done.code == 1
        assert "cannot be reached" in done.err
        assert events(place)[-2:] == ["sending", "waiting"]

    async def test_a_refused_row_stops_nobody(self, tmp_path: Path, simulator: Simulator) -> None:
        """It is dead with the provider's reason; mended, it is sent and the others are not."""
        place = shop(tmp_path, simulator.base_url)
        given = {"provider": "dashscope", "model": "stable-diffusion-xl", "prompt": "a cat"}
        wrong = place.batch({**given, "samples": 9}, {**given, "seed": 2})

        done = await place.submit("--batch", wrong, "--no-wait", "--json")
        assert done.code == 3
        assert [row["state"] for row in done.rows] == ["dead", "submitted"]
        assert "parameters.n must be" in done.rows[0]["reason"]

        right = place.batch({**given, "samples": 4}, {**given, "seed": 2})
        mended = await place.submit("--batch", right, "--no-wait", "--json")
        assert [row["state"] for row in mended.rows] == ["submitted", "submitted"]
        assert len(begun(simulator)) == 2


async def test_to_the_archived_picture(tmp_path: Path, simulator: Simulator) -> None:
    """Beside a service: one at a time by the plan, each followed until it is safe or held."""
    tables: dict[str, Any] = {
        "egress": from_simulator(simulator.base_url),
        "providers_doitong": {"base_url": simulator.base_url},
        "providers_doitong_keys": {"mine": "practice"},
        "providers_doitong_limits": {"per_minute": 100},
    }
    batch = tmp_path / "prompts.csv"
    batch.write_text(
        "name,prompt,width\nlighthouse,A lighthouse in a storm,640\n"
        "forbidden,Something simulate:moderated,\nwhale,A glass whale,\n"
    )
    with running(tmp_path, **tables) as service:
        public_url = f"http://127.0.0.1:{service.public}"
        place = Shop(
            folder=tmp_path,
            config_file=service.config_file,
            env={"HOLDFAST_PUBLIC_URL": public_url},
        )
        given = ("--batch", str(batch), "--provider", "doitong", "--json")

        done = await place.submit(*given)
        again = await place.submit(*given)

    assert done.code == 3, done.err + service.log
    assert [(row["name"], row["state"]) for row in done.rows] == [
        ("lighthouse", "archived"),
        ("forbidden", "held"),
        ("whale", "archived"),
    ]
    assert again.rows == done.rows
    pictures = {told["id"]: told["sha256"] for told in simulator.report()}
    assert len(pictures) == 3
    for row in (done.rows[0], done.rows[2]):
        [slot] = row["slots"]
        assert slot["sha256"] == pictures[row["id"]]
        assert (tmp_path / "bucket" / slot["blob_key"]).is_file()
    assert "1 at once: row 1 under way" in done.err
    assert json.dumps(SECRET) not in done.err
