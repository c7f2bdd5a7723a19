"""`python -m daemon` is the command `affectd`."""

import sys

from daemon import process


def main() -> int:
    """Prepares the process, runs one command and returns its exit status."""
    process.prepare()
    from daemon import cli, logs  # these import much

    logs.report_uncaught()
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
