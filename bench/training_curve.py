"""The validation loss of a training, by noise level, as a picture beside the weights.

    python bench/training_curve.py weights/piano-44k.csv

The log is what `restorer train` writes beside its weights (log.csv). The picture, weights/piano-44k.png, needs
matplotlib. Minutes after which what is measured changed (another corpus, another weight of the loss) are given by
`--change`: the curve is broken there, for losses before and after cannot be compared.
"""

import argparse
import csv
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from outcome import exit_code

from restorer.errors import UsageError

PREFIX = "validation_"
Log = dict[str, list[float]]


def read_log(path: Path) -> Log:
    """The columns of a training's log. UsageError if it cannot be read, or validates nothing."""
    try:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}); give the log.csv of a training") from error
    if not rows or "minutes" not in rows[0] or not any(name.startswith(PREFIX) for name in rows[0]):
        raise UsageError(f"{path} is no log of a training; give the log.csv that `restorer train` writes")
    return {name: [float(row[name]) for row in rows] for name in rows[0]}


def stretches(minutes: Sequence[float], changes: Sequence[float]) -> list[slice]:
    """The rows between changes: from one, exclusive, to the next, inclusive.

    >>> stretches([0.0, 8.0, 16.0, 24.0], [16.0])
    [slice(0, 3, None), slice(3, 4, None)]
    """
    ends = [sum(minute <= change for minute in minutes) for change in sorted(changes)]
    return [slice(first, stop) for first, stop in pairwise([0, *ends, len(minutes)]) if stop > first]


def draw(log: Log, changes: Sequence[float], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    panel = figure.subplots()
    minutes = log["minutes"]
    for i, name in enumerate(name for name in log if name.startswith(PREFIX)):
        for rows in stretches(minutes, changes):
            hours = [minute / 60 for minute in minutes[rows]]
            panel.plot(hours, log[name][rows], color=f"C{i}", marker=".", markersize=3, linewidth=1)
        *known, sigma = name.removeprefix(PREFIX).split("_")
        panel.plot([], [], color=f"C{i}", label=" ".join(["sigma", sigma, *known]))
    for change in changes:
        panel.axvline(change / 60, color="0.8", linewidth=0.8)
    panel.set_xlabel("hours of training")
    panel.set_ylabel("validation loss (1: a network that says nothing)")
    panel.set_ylim(0, 1.1)
    panel.legend(fontsize="small", ncols=2)
    figure.savefig(path, dpi=120)


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("log", type=Path)
    parser.add_argument("--change", type=float, nargs="+", default=[], metavar="MINUTE")
    given = parser.parse_args(words)
    return exit_code(lambda: draw(read_log(given.log), given.change, given.log.with_suffix(".png")))


if __name__ == "__main__":
    sys.exit(main())
