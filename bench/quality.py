"""The tables of `restorer bench quality` as a section of RESULTS.md.

    python bench/quality.py TITLE FOLDER [WORDS OF `restorer bench quality` ...]

What is in the command's cache is not measured again.
"""

import subprocess
import sys
from collections.abc import Sequence

from results import write_section

from restorer.bench.speed import describe
from restorer.prior import load_prior


def section(words: Sequence[str], printed: str) -> str:
    """The command, but for folders, and what it printed."""
    kept = [word for i, word in enumerate(words) if "--cache" not in (word, words[i - 1] if i else "")]
    said = " ".join(f"'{word}'" if " " in word else word for word in kept)
    return f"`restorer bench quality FOLDER {said}`\n\n```\n{printed.strip()}\n```"


def main(words: Sequence[str]) -> int:
    if len(words) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    title, folder, *rest = words
    command = [sys.executable, "-m", "restorer", "bench", "quality", folder, *rest]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    print(done.stdout, end="")
    if done.returncode == 0:
        write_section(f"Quality: {title}", section(rest, done.stdout), describe(load_prior()))
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
