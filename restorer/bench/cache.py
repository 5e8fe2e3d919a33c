"""Cases that were measured before, by what they are made of: a run that was cut off goes on where it stopped."""

import hashlib
import json
import os
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from restorer.bench.recordings import Clip

_PACKAGE = Path(__file__).parents[1]
# What decides a result. Of the rest (commands, training, tables) none does.
_SOURCES = ("audio", "bench/degrade.py", "bench/measures.py", "bench/methods.py", "bench/recordings.py", "classical",
            "degradation", "diffusion", "dsp", "metrics", "network", "prior.py", "restoration")  # fmt: skip


def default_folder() -> Path:
    """`restorer/quality` in $XDG_CACHE_HOME, or in ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "restorer", "quality")


@dataclass(frozen=True)
class Cache:
    """A folder with one JSON file for each key."""

    folder: Path

    def get(self, key: str) -> dict[str, Any]:
        """What is kept under the key; empty if nothing is, or nothing that can be read."""
        try:
            kept = json.loads(self._path(key).read_text())
        except (OSError, ValueError):
            return {}
        return kept if isinstance(kept, dict) else {}

    def put(self, key: str, value: dict[str, Any]) -> None:
        """Keeps it, whole or not at all. Raises OSError where the folder cannot be written."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".partial", delete=False) as partial:
            try:
                json.dump(value, partial)
                partial.close()
                os.replace(partial.name, path)
            except BaseException:
                os.unlink(partial.name)
                raise

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"


def key_of(*facts: object) -> str:
    """SHA-256 of the facts as text, their number and order included, and of the code that decides results."""
    return hashlib.sha256(json.dumps([_code(), *map(str, facts)]).encode()).hexdigest()


def clip_hash(clip: Clip) -> str:
    """SHA-256 of a clip's samples, its rate and the score beside it, not of its name."""
    score = b"" if clip.score is None else clip.score.read_bytes()
    facts = f"{clip.sample_rate} {clip.start_s if score else 0:g} "  # where it begins matters to a score alone
    digest = hashlib.sha256(facts.encode() + score)
    digest.update(clip.samples.tobytes())
    return digest.hexdigest()


@cache
def _code() -> str:
    """The version of the package and, since a checkout changes without it, the sources that decide results."""
    from restorer import __version__

    digest = hashlib.sha256(__version__.encode())
    for source in _SOURCES:
        path = _PACKAGE / source
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(file.read_bytes())
    return digest.hexdigest()
