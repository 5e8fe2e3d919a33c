"""Clean recordings, degraded, restored by every method, and measured: cases, and what they say together."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np

from restorer.bench.cache import Cache, clip_hash, key_of
from restorer.bench.degrade import Damaged, damaged
from restorer.bench.measures import Case, Embeddings, Measure, Undamaged, Value, as_embeddings
from restorer.bench.methods import UNTOUCHED, Method
from restorer.bench.recordings import Clip
from restorer.bench.severity import Severity, TaskName
from restorer.errors import RestorerError, UsageError
from restorer.metrics.fad import EmbeddingModel, frechet_distance
from restorer.metrics.interval import Mean, mean_interval


@dataclass(frozen=True)
class Result:
    """A clip of `seconds`, damaged and restored by a method in `computing_s` seconds.

    values: by measure; None where one could not be taken, the reason being among `notes`. clean: the embeddings of the
    undamaged clip for those measures that have embeddings for values.
    """

    recording: str
    severity: Severity
    method: str
    seconds: float
    computing_s: float
    values: dict[str, float | Embeddings | None]
    notes: tuple[str, ...] = ()
    clean: dict[str, Embeddings] = field(default_factory=dict)


@dataclass(frozen=True)
class Failure:
    """A case, or all of a clip's with one severity, that could not be measured."""

    recording: str
    severity: Severity
    method: str | None
    error: RestorerError


@dataclass(frozen=True)
class Row:
    """What the recordings of one severity and method have in common: means with intervals, distances of sets without.

    speed: seconds of computing a second of sound; None for what does not compute.
    """

    task: TaskName
    severity: Severity
    method: str
    recordings: int
    values: dict[str, Mean | None]
    speed: Mean | None


def evaluate(
    clip: Clip,
    severities: Sequence[Severity],
    methods: Sequence[Method],
    measures: Sequence[Measure],
    cache: Cache,
    device: str = "cpu",
) -> Iterator[Result | Failure]:
    """Every severity with every method of its task, each as soon as it is there; what the cache knows at once."""
    undamaged = Undamaged(clip, cache, device)
    for severity in severities:
        try:
            hurt = damaged(clip, severity)
        except RestorerError as error:
            yield Failure(clip.name, severity, None, error)
            continue
        for method in methods:
            if method.task != severity.task or severity.value > method.up_to:
                continue
            wanted = [measure for measure in measures if severity.task in measure.tasks]
            try:
                yield _measured(undamaged, hurt, method, wanted)
            except RestorerError as error:
                yield Failure(clip.name, severity, method.name, error)


def _measured(undamaged: Undamaged, hurt: Damaged, method: Method, measures: Sequence[Measure]) -> Result:
    clip, cache = hurt.clip, undamaged.cache
    key = key_of(clip_hash(clip), hurt.severity.task, hurt.severity.value, method.name, method.identity)
    kept = cache.get(key) or {"values": {}, "notes": {}}
    lost: dict[str, str] = {}
    missing = [measure for measure in measures if measure.name not in kept["values"]]
    if missing:
        restored, seconds = _timed(method.restore, hurt)
        kept.setdefault("computing_s", seconds)
        lost = _take(missing, Case(undamaged, hurt, restored), kept)
        cache.put(key, kept)
    values = {measure.name: _held(kept["values"].get(measure.name)) for measure in measures}
    clean = {name: undamaged.vectors(_model(name)) for name, value in values.items() if isinstance(value, np.ndarray)}
    noted = kept["notes"] | lost
    notes = tuple(noted[measure.name] for measure in measures if measure.name in noted)
    return Result(clip.name, hurt.severity, method.name, clip.seconds, kept["computing_s"], values, notes, clean)


def _timed(restore: Callable[[Damaged], Any], hurt: Damaged) -> tuple[Any, float]:
    begun = perf_counter()
    restored = restore(hurt)
    seconds = perf_counter() - begun
    if restored.shape != hurt.samples.shape:
        raise UsageError(f"restored to shape {restored.shape}: a method keeps the shape, {hurt.samples.shape}")
    return restored, seconds


def _take(measures: Sequence[Measure], case: Case, kept: dict[str, Any]) -> dict[str, str]:
    """Keeps their values, or None and a note where one cannot be taken.

    Returns what else went wrong, in the packages that measure: it costs a value, not the run, and is not kept, for it
    may go well another time.
    """
    lost = {}
    for measure in measures:
        try:
            kept["values"][measure.name] = _number(measure.of(case))
        except RestorerError as error:
            kept["values"][measure.name], kept["notes"][measure.name] = None, f"{measure.name}: {error}"
        except Exception as error:
            lost[measure.name] = f"{measure.name}: {type(error).__name__}: {error}"
    return lost


def _number(value: Value) -> Value:
    """Raises UsageError if it is none, which would take the mean of all recordings with it."""
    if np.isnan(value).any():
        raise UsageError("it is not a number here: leave the recording out")
    return value


def _held(value: Value | None) -> float | Embeddings | None:
    return as_embeddings(value) if isinstance(value, list) else value


def _model(measure: str) -> EmbeddingModel:
    return "vggish" if measure == "fad_vggish" else "musicnn"


def rows(results: Sequence[Result], measures: Sequence[Measure]) -> list[Row]:
    """A row for each severity and method, in their order, over all recordings that have it."""
    groups: dict[tuple[Severity, str], list[Result]] = {}
    for result in results:
        groups.setdefault((result.severity, result.method), []).append(result)
    return [_row(severity, method, members, measures) for (severity, method), members in groups.items()]


def _row(severity: Severity, method: str, members: Sequence[Result], measures: Sequence[Measure]) -> Row:
    values = {m.name: _together(m.name, members) for m in measures if severity.task in m.tasks}
    speed = mean_interval([member.computing_s / member.seconds for member in members])
    return Row(severity.task, severity, method, len(members), values, None if method == UNTOUCHED else speed)


def _together(measure: str, members: Sequence[Result]) -> Mean | None:
    """The mean over recordings; of embeddings, the distance between all restored and all clean ones."""
    known = [member for member in members if member.values.get(measure) is not None]
    if not known:
        return None
    if measure not in known[0].clean:
        return mean_interval([value for member in known if isinstance(value := member.values[measure], float)])
    clean = np.concatenate([member.clean[measure] for member in known])
    restored = np.concatenate([np.asarray(member.values[measure]) for member in known])
    if min(len(clean), len(restored)) < 2:
        return None  # a single patch has no spread
    return Mean(frechet_distance(clean, restored), None, len(known))
