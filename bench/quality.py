"""The tables of `restorer bench quality` as a section of RESULTS.md.

    python bench/quality.py TITLE FOLDER [WORDS OF `restorer bench quality`, but --json ...]

What is in the command's cache is not measured again. What it was measured on is what the command says by --json.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory

from results import write_section

from restorer.bench.speed import Machine


def section(words: Sequence[str], printed: str) -> str:
    """The command, but for folders, and what it printed."""
    kept = [word for i, word in enumerate(words) if "--cache" not in (word, words[i - 1] if i else "")]
    said = " ".join(f"'{word}'" if " " in word else word for word in kept)
    return f"`restorer bench quality FOLDER {said}`\n\n```\n{printed.strip()}\n```"


def measured_on(figures: Path) -> Machine:
    """The device and the prior that the command used, from its JSON."""
    said = json.loads(figures.read_text())
    return Machine(**{each.name: said[each.name] for each in fields(Machine)})


def main(words: Sequence[str]) -> int:
    if len(words) < 2 or "--json" in words:
        print(__doc__, file=sys.stderr)
        return 2
    title, folder, *rest = words
    with TemporaryDirectory() as there:
        figures = Path(there, "figures.json")
        command = [sys.executable, "-m", "restorer", "bench", "quality", folder, *rest, "--json", str(figures)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        print(done.stdout, end="")
        if done.returncode == 0:
            write_section(f"Quality: {title}", section(rest, done.stdout), measured_on(figures))
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
