"""The columns of the quality tables: what each is called, which package brings it, and how a case gets its value."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from restorer.bench.cache import Cache, clip_hash, key_of
from restorer.bench.recordings import Clip
from restorer.bench.severity import TASKS, TaskName
from restorer.errors import UsageError
from restorer.metrics.fad import EmbeddingModel, embed
from restorer.metrics.likeness import likeness_above
from restorer.metrics.lsd import LSD_RATE, log_spectral_distance, log_spectral_distance_in
from restorer.metrics.sdr import sdr, sdr_improvement
from restorer.metrics.signals import Signal

if TYPE_CHECKING:
    from restorer.bench.degrade import Damaged

Vectors = list[list[float]]
Value = float | Vectors
Embeddings = npt.NDArray[np.float32]

MUSICNN_COMMAND = "pip install --no-deps musicnn==0.1.0"
QUALITY_COMMAND = "pip install -e '.[quality]' in the checkout"


@dataclass(frozen=True)
class Undamaged:
    """A clean clip, and what transcribers and embeddings make of it: asked once, and kept."""

    clip: Clip
    cache: Cache
    device: str = "cpu"
    _vectors: dict[str, Embeddings] = field(default_factory=dict)

    def notes(self) -> Any:
        """Of the clean recording, as the transcriber hears them."""
        from restorer.metrics.onsets import Notes, transcribe

        def heard() -> dict[str, Any]:
            notes = transcribe(self.clip.samples, self.clip.sample_rate, self.device)
            return {"onset_s": notes.onset_s.tolist(), "pitch": notes.pitch.tolist()}

        return Notes(**{name: _floats(each) for name, each in self._kept("notes", heard).items()})

    def score(self) -> Any:
        """Of the MIDI file beside the recording. Raises UsageError if there is none."""
        from restorer.metrics.onsets import read_midi

        if self.clip.score is None:
            raise UsageError(f"no {self.clip.name}.mid lies beside the recording; put it there")
        return read_midi(self.clip.score).between(self.clip.start_s, self.clip.start_s + self.clip.seconds)

    def vectors(self, model: EmbeddingModel) -> Embeddings:
        """Its embeddings, the same array for all of its cases."""
        clip = self.clip
        if model not in self._vectors:
            kept = self._kept(model, lambda: {"vectors": _rounded(embed(clip.samples, clip.sample_rate, model))})
            self._vectors[model] = as_embeddings(kept["vectors"])
        return self._vectors[model]

    def _kept(self, what: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        key = key_of("clean", clip_hash(self.clip), what)
        if not (kept := self.cache.get(key)):
            kept = make()
            self.cache.put(key, kept)
        return kept


@dataclass(frozen=True)
class Case:
    """A clip, what was done to it, and what a method made of that: restored (time,)."""

    undamaged: Undamaged
    damaged: "Damaged"
    restored: Signal

    @cached_property
    def notes(self) -> Any:
        """Of the restored clip, as the transcriber hears them."""
        from restorer.metrics.onsets import transcribe

        return transcribe(self.restored, self.damaged.clip.sample_rate, self.undamaged.device)

    @property
    def signals(self) -> tuple[Signal, Signal, int]:
        """The clean and the restored samples, and their rate."""
        return self.damaged.clip.samples, self.restored, self.damaged.clip.sample_rate


@dataclass(frozen=True)
class Measure:
    """One column. `of` gives a case its value, or its embeddings, of which a set of cases gets one distance.

    modules: what must be importable; `remedy` is the command that installs them. by_default: measured unless others are
    asked for. higher_is_better: which way is good.
    """

    name: str
    title: str
    digits: int
    of: Callable[[Case], Value]
    tasks: tuple[TaskName, ...] = TASKS
    modules: tuple[str, ...] = ()
    remedy: str = QUALITY_COMMAND
    by_default: bool = True
    higher_is_better: bool = False

    @property
    def missing(self) -> str | None:
        """Why it cannot be measured here, in one line; None if it can."""
        absent = [module for module in self.modules if find_spec(module) is None]
        return f"{self.name} is left out: it needs {', '.join(absent)}; {self.remedy}" if absent else None


def _lsd(case: Case) -> float:
    return log_spectral_distance(*case.signals)


def _lsd_region(case: Case) -> float:
    """Above the cutoff, or within the gaps. A clipped recording is hurt everywhere: there it would be the LSD."""
    if case.damaged.severity.task == "bwe":
        return log_spectral_distance(*case.signals, band_hz=(case.damaged.severity.value, LSD_RATE / 2))
    return log_spectral_distance_in(*case.signals, case.damaged.spans)


def _likeness(case: Case) -> float:
    return likeness_above(*case.signals, case.damaged.severity.value)


def _sdr(case: Case) -> float:
    clean, restored, _ = case.signals
    return sdr(clean, restored)


def _delta_sdr(case: Case) -> float:
    clean, restored, _ = case.signals
    return sdr_improvement(clean, case.damaged.samples, restored)


def _vectors(model: EmbeddingModel) -> Callable[[Case], Vectors]:
    return lambda case: _rounded(embed(case.restored, case.damaged.clip.sample_rate, model))


def _onset_f1(case: Case) -> float:
    from restorer.metrics.onsets import onset_f1

    return onset_f1(case.undamaged.notes(), case.notes)


def _onset_f1_midi(case: Case) -> float:
    from restorer.metrics.onsets import onset_f1

    return onset_f1(case.undamaged.score(), case.notes)


def _zimtohrli(case: Case) -> float:
    from restorer.metrics.perceptual import zimtohrli_mos

    return zimtohrli_mos(*case.signals)


def _two_f(case: Case) -> float:
    from restorer.metrics.perceptual import two_f_mms

    return two_f_mms(*case.signals)


def _visqol(case: Case) -> float:
    from restorer.metrics.perceptual import visqol_mos

    return visqol_mos(*case.signals)


_TRANSCRIBER = ("transkun", "moduleconf", "ncls", "mir_eval", "pretty_midi")

MEASURES = (
    Measure("lsd", "LSD", 2, _lsd),
    Measure("lsd_region", "LSD there", 2, _lsd_region, tasks=("bwe", "inpaint")),
    Measure("likeness", "likeness", 3, _likeness, tasks=("bwe",), higher_is_better=True),
    Measure("sdr", "SDR", 1, _sdr, tasks=("inpaint", "declip"), higher_is_better=True),
    Measure("delta_sdr", "delta SDR", 1, _delta_sdr, tasks=("inpaint", "declip"), higher_is_better=True),
    Measure("fad_musicnn", "FAD-musicnn", 3, _vectors("musicnn"), modules=("musicnn",), remedy=MUSICNN_COMMAND),
    Measure(
        "fad_vggish", "FAD-VGGish", 3, _vectors("vggish"), modules=("frechet_audio_distance",),
        remedy="pip install frechet-audio-distance==0.3.4", by_default=False,
    ),
    Measure("onset_f1", "onset F1", 3, _onset_f1, modules=_TRANSCRIBER, higher_is_better=True),
    Measure(
        "onset_f1_midi", "onset F1 MIDI", 3, _onset_f1_midi, modules=_TRANSCRIBER, by_default=False,
        higher_is_better=True,
    ),
    Measure("zimtohrli", "Zimtohrli", 2, _zimtohrli, modules=("zimtohrli",), higher_is_better=True),
    Measure("2f", "2f-model", 1, _two_f, modules=("seabass",), by_default=False, higher_is_better=True),
    Measure("visqol", "ViSQOL", 2, _visqol, modules=("visqol",), by_default=False, higher_is_better=True),
)  # fmt: skip


def measures_named(names: tuple[str, ...]) -> list[Measure]:
    """Those of that name, or those of the default. Raises UsageError for a name that is none."""
    known = {measure.name: measure for measure in MEASURES}
    for name in names:
        if name not in known:
            raise UsageError(f"--metric {name!r} is unknown; choose of: {', '.join(known)}")
    return [measure for measure in MEASURES if measure.name in names or (not names and measure.by_default)]


def _rounded(vectors: Signal) -> Vectors:
    """Six digits: far finer than what the distance of such sets can tell, and a fraction of the file."""
    return [[float(f"{value:.6g}") for value in row] for row in vectors.tolist()]


def as_embeddings(vectors: Vectors) -> Embeddings:
    """(patches, dimensions), in an eighth of the memory; results of many hours are held at once."""
    return np.asarray(vectors, dtype=np.float32)


def _floats(values: npt.ArrayLike) -> Signal:
    return np.asarray(values, dtype=np.float64)
