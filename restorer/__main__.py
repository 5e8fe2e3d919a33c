"""`python -m restorer`, and what the installed command calls."""

import sys


def main() -> None:
    """Runs the command line and exits with its code."""
    from restorer.cli.app import main as run

    sys.exit(run())


if __name__ == "__main__":
    main()
