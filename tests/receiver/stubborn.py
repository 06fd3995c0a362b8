"""A role that does nothing, and does with a configuration what its public_url tells it to.

It is a word for each of them, such as `public-refuses`, by the listener that the role has.
"""

import json
import signal
import sys

EXIT_CONFIG = 78


def main() -> None:
    """Says on stderr which role was told what, and lives until it is told to end."""
    orders = json.loads(sys.stdin.readline())
    name, told = next(iter(orders["sockets"]), "none"), orders["config"]["public_url"]
    print(name, told, file=sys.stderr, flush=True)
    words = told.split()
    if f"{name}-refuses" in words:
        sys.exit(EXIT_CONFIG)
    if f"{name}-dies" in words:
        sys.exit(1)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if f"{name}-waits" not in words:
        print("ready", flush=True)
    while True:
        signal.pause()


if __name__ == "__main__":
    main()
