"""A role that does nothing, and refuses a configuration whose public_url names its own listener."""

import json
import signal
import sys

EXIT_CONFIG = 78


def main() -> None:
    """Says on stderr which role was told what, and lives until it is told to end."""
    orders = json.loads(sys.stdin.readline())
    (listener,), told = orders["sockets"], orders["config"]["public_url"]
    print(listener, told, file=sys.stderr, flush=True)
    if told == listener:
        sys.exit(EXIT_CONFIG)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print("ready", flush=True)
    while True:
        signal.pause()


if __name__ == "__main__":
    main()
