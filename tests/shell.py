"""The real command line, and recordings to try it on."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

RATE = 8000


@dataclass(frozen=True)
class Outcome:
    code: int
    out: bytes
    err: str


def restorer(*words, folder, without_torch=False, feed=None):
    """Runs `restorer` with these words in `folder`; without_torch: any import of torch fails."""
    code = "import sys; sys.modules['torch'] = None; " if without_torch else ""
    code += "from restorer.__main__ import main; main()"
    path = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)],
        cwd=folder, input=feed, stdin=subprocess.DEVNULL if feed is None else None, capture_output=True,
        env={**os.environ, "PYTHONPATH": path}, timeout=120,
    )  # fmt: skip
    return Outcome(done.returncode, done.stdout, done.stderr.decode())


def record(path, seconds=1.0, rate=RATE, channels=1, subtype="PCM_16", container=None):
    """A recording of soft noise at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = 0.1 * np.random.default_rng(0).standard_normal((round(seconds * rate), channels))
    soundfile.write(path, samples, rate, subtype, format=container)
    return path


def contents(folder):
    """Every file and folder below, with the files' bytes: what must not change."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}
