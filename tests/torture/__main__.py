"""The long run: `python -m tests.torture`; exits 1 if any promise was broken."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from random import Random

from tests.torture import restarts
from tests.torture.kills import ROLES, kill
from tests.torture.restarts import restart
from tests.torture.verdict import facts, faults


def main() -> int:
    """Runs both parts and prints what was met; the exit code."""
    chosen = _arguments()
    print(f"seed {chosen.seed}: --seed {chosen.seed} makes the same choices again")
    folder = Path(tempfile.mkdtemp(prefix="torture-"))
    (folder / "kills").mkdir()
    (folder / "restarts").mkdir()
    broken = asyncio.run(_kills(folder / "kills", chosen))
    broken += asyncio.run(_restarts(folder / "restarts", chosen))
    if broken:
        print(f"\n{broken} promises broken; everything is kept in {folder}", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    print("\nevery promise kept")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--generations", type=int, default=2000, help="pictures asked for")
    parser.add_argument("--kills", type=int, default=27, help=f"over {', '.join(ROLES)}")
    parser.add_argument("--restarts", type=int, default=12, help="by SIGTERM, under load")
    parser.add_argument("--seed", type=int, default=Random().randrange(10**6))
    return parser.parse_args()


async def _kills(folder: Path, chosen: argparse.Namespace) -> int:
    outcome = await kill(
        folder, generations=chosen.generations, kills=chosen.kills, seed=chosen.seed
    )
    (folder / "log.jsonl").write_text(outcome.log)
    _print(f"{chosen.kills} kills", facts(outcome))
    return _judge(faults(outcome))


async def _restarts(folder: Path, chosen: argparse.Namespace) -> int:
    roles = [ROLES[number % len(ROLES)] for number in range(chosen.restarts)]
    outcome = await restart(folder, roles, Random(chosen.seed))
    tally = outcome.tally
    met = {
        "clients": 2 * (restarts.PUSHING + restarts.REMEMBERING),
        "acknowledged": len(outcome.acknowledged),
        "slowest answer, s": round(tally.slowest_seconds, 2),
    }
    _print(f"{chosen.restarts} restarts under load", met)
    return _judge(
        {
            "refused": tally.refused,
            "cut off": tally.cut,
            "5xx": sum(count for status, count in tally.answers.items() if status >= 500),
            "acknowledged and lost": outcome.lost,
            "bodies stored twice": outcome.doubled,
        }
    )


def _print(title: str, met: Mapping[str, object]) -> None:
    print(f"\n{title}")
    for name, value in met.items():
        print(f"  {name:<42} {value}")


def _judge(found: Mapping[str, int]) -> int:
    for name, count in found.items():
        print(f"  {name:<42} {count}{'   <- must be 0' if count else ''}")
    return sum(count > 0 for count in found.values())


if __name__ == "__main__":
    sys.exit(main())
