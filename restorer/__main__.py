"""`python -m restorer`, and what the installed command calls."""

import os
import sys


def main() -> None:
    """Runs the command line and exits with its code."""
    # How long torch's threads spin before they sleep until others are done; read by GNU's OpenMP as torch loads it.
    # By its default of 300,000 restoring takes many times as long where something else needs a core as well.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    from restorer.cli.app import main as run

    sys.exit(run())


if __name__ == "__main__":
    main()
