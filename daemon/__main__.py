"""`python -m daemon` is the command `affectd`."""

import sys

from daemon.runtime import process


def main() -> int:
    """Prepares the process, runs one command and returns its exit status."""
    process.prepare()
    from daemon.cli.main import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
