"""`python -m restorer`, and what the installed command calls."""

import io
import os
import sys


def _open_streams() -> None:
    """Opens what a shell has closed (`>&-`), before a file of ours gets its number.

    Standard input and output are opened the wrong way round, so that their use fails, and is not taken for silence.
    """
    for number, way in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, way), True)  # it gets the lowest number that is free: this one
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def _write_every_name() -> None:
    """What the encoding of standard output lacks is spelled out there, as Python does it on standard error."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


def main() -> None:
    """Runs the command line and exits with its code."""
    # How long torch's threads spin before they sleep until others are done; read by GNU's OpenMP as torch loads it.
    # By its default of 300,000 restoring takes many times as long where something else needs a core as well.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    _open_streams()
    _write_every_name()
    try:
        from restorer.cli.app import main as run

        code = run()
    except KeyboardInterrupt:  # while there is nobody yet, or no longer, to say so
        code = 130
    sys.exit(code)


if __name__ == "__main__":
    main()
