"""A file of facts beside a result: what was done, with what, and which parts of the sound are synthetic."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from restorer.audio import AudioFormat
from restorer.audio.whole import whole_file
from restorer.digest import file_hash
from restorer.errors import AudioError
from restorer.restoration.job import Report
from restorer.restoration.plan import sidecar_path
from restorer.restoration.settings import Settings
from restorer.restoration.task import BandwidthExtension, Declipping, Inpainting, Repair, Task, parts_of

_NAMES = {BandwidthExtension: "bwe", Declipping: "declip", Inpainting: "inpaint"}


def write_sidecar(
    report: Report, task: Task, settings: Settings, *, seed: int, prior: Path, version: str, command: Sequence[str]
) -> Path:
    """Writes `name.restorer.json` beside the report's target, whole or not at all. Raises AudioError if it cannot."""
    target = Path(report.target)
    path = sidecar_path(target)
    with whole_file(path, AudioError, f"{target} is complete") as partial:
        known = facts(report, task, settings, seed=seed, prior=prior, version=version, command=command)
        partial.write_text(json.dumps(known, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def facts(
    report: Report, task: Task, settings: Settings, *, seed: int, prior: Path, version: str, command: Sequence[str]
) -> dict[str, Any]:
    """What the sidecar holds; times in seconds, hashes in hexadecimal, null for what was a stream."""
    verification = report.verification
    return {
        "restorer": version,
        "command": [printable(word) for word in command],
        "prior": {"name": prior.stem, "sha256": file_hash(prior)},
        "task": known(task),
        "settings": asdict(settings),
        "seed": seed,
        "input": _file(report.source, report.heard),
        "output": _file(report.target, report.written),
        "seconds": report.seconds,
        "copied": report.copied,
        "synthetic": _synthetic(report, task),
        "untouched": None if verification is None else {
            "where": verification.where,
            "largest_deviation": verification.deviation if math.isfinite(verification.deviation) else None,
            "allowed": verification.allowed,
            "measured_on_stored_samples": verification.in_file,
        },
        "notes": [*report.notes, *report.faults],
    }  # fmt: skip


def known(task: Task) -> dict[str, Any]:
    if isinstance(task, Repair):
        return {"name": "repair", "parts": [known(part) for part in task.parts]}
    return {"name": _NAMES[type(task)]} | {name: fact for name, fact in asdict(task).items() if fact is not None}


def _file(place: Path | str, form: AudioFormat) -> dict[str, Any]:
    is_file = isinstance(place, Path) and place.is_file()
    return {
        "path": printable(str(place)),
        "sha256": file_hash(Path(place)) if is_file else None,
        "container": form.container,
        "subtype": form.subtype,
        "sample_rate": form.sample_rate,
        "channels": form.channels,
    }


def _synthetic(report: Report, task: Task) -> dict[str, Any]:
    rate = report.heard.sample_rate
    return {
        "above_hz": next((part.cutoff_hz for part in parts_of(task) if isinstance(part, BandwidthExtension)), None),
        "regions_s": [[first / rate, stop / rate] for first, stop in report.regions],
        "regions_frames": [list(span) for span in report.regions],
        "nearer_ones_merged_s": report.regions_apart / rate,
    }


def printable(word: str) -> str:
    """A name whose bytes are no UTF-8 is spelled with escapes, for JSON is text."""
    return word.encode("utf-8", "backslashreplace").decode("utf-8")
