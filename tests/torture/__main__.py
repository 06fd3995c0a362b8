"""Every promise attacked: `python -m tests.torture`; exits 1 if one broke or an attack is blind."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import traceback
from datetime import timedelta
from pathlib import Path
from random import Random

from archiver import clock
from tests.torture.trial import Row, Run, Trial, table
from tests.torture.trials import TRIALS


def main() -> int:
    """Makes the trials one after the other and prints their table; the exit code."""
    chosen = _arguments()
    print(f"seed {chosen.seed}: --seed {chosen.seed} makes the same choices again", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="torture-"))
    rows = []
    for name in chosen.only or TRIALS:
        (folder / name).mkdir()
        began = clock.monotonic()
        run = Run(long=chosen.long, seed=chosen.seed, folder=folder / name)
        rows += (found := _rows(name, TRIALS[name], run))
        took = timedelta(seconds=round(clock.monotonic() - began))
        print(f"\n{name}, {took}\n{table(found)}", flush=True)
        if all(row.passed for row in found):
            shutil.rmtree(run.folder)
    broken = [row.test for row in rows if not row.passed]
    print(f"\n{table(rows)}\n\n{len(rows) - len(broken)} of {len(rows)} promises kept", flush=True)
    if broken:
        print(f"broken: {', '.join(broken)}; everything is kept in {folder}", file=sys.stderr)
        return 1
    folder.rmdir()
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--long", action="store_true", help="the long dose of each: hours")
    parser.add_argument("--only", action="append", choices=TRIALS, help="this one; may be repeated")
    parser.add_argument("--seed", type=int, default=Random().randrange(10**6))
    return parser.parse_args()


def _rows(name: str, trial: Trial, run: Run) -> list[Row]:
    """What the trial says, or that it said nothing: the others are made all the same."""
    try:
        return trial(run)
    except Exception as error:
        traceback.print_exc()
        said = f"ended with {type(error).__name__}: {error}"
        return [Row(test=name, dose="–", must="an end", result=said, kept=False)]


if __name__ == "__main__":
    sys.exit(main())
