"""What a recording has suffered, and the task that repairs it: a first pass through the file, without torch."""

from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restorer.audio import open_reader
from restorer.audio.samples import as_table, require_finite
from restorer.degradation.detect import KINDS, ClipLevel, Cutoff, Detector, Findings, Gap, Kind, Stretch
from restorer.degradation.detect.cutoff import SEGMENT_S
from restorer.restoration.place import place_of
from restorer.restoration.task import (
    UNDAMAGED,
    BandwidthExtension,
    Declipping,
    Inpainting,
    Part,
    Search,
    Task,
    gaps_of,
    joined,
)

EVERY_KIND = Search(KINDS)
SURE = 0.5  # the confidence from which on a finding is acted upon
STEP = 1 / 32768  # by which dither moves the samples that were held at a level
SAME_LEVEL = 1.02

_BLOCK_S = 1.0
_BESIDE_CLICK = 2  # samples, which the filters of a recorder may have touched
_SAME_CUTOFF = 1.1
_AUDIBLE = 16 / 32768  # a peak: dither and the noise of a converter stay below
_HEARD_HZ = 20_000.0


def detect_file(
    source: str | Path, wanted: Collection[Kind] = KINDS, *, check: Callable[[], None] = lambda: None
) -> Findings:
    """Listens to a file, a pipe or "-" (standard input) to its end, in memory that does not grow with it.

    wanted: the kinds of damage that are looked for. check: called for each second; what it raises ends the search.
    Raises AudioError where it cannot be read.
    """
    with open_reader(place_of(source)) as reader:
        form = reader.format
        detector = Detector(form.sample_rate, form.channels, wanted, is_lossy=form.is_lossy)
        while len(block := reader.read(round(_BLOCK_S * form.sample_rate))):
            check()
            detector.push(block)
    return detector.result()


def detect(samples: NDArray[np.floating[Any]], sample_rate: int, wanted: Collection[Kind] = KINDS) -> Findings:
    """Listens to an array: (frames, channels), or (frames,) of one channel; floats, full scale 1.0; sample_rate in Hz.

    wanted: the kinds of damage that are looked for. Raises UsageError for another shape or type; AudioError for a rate
    or a number of channels that no recording has, and for samples that are not finite.
    """
    table = as_table(samples, sample_rate)
    require_finite(table, 0, sample_rate, "the recording")
    detector = Detector(sample_rate, table.shape[1], wanted)
    detector.push(table)
    return detector.result()


def find_task(source: Path, search: Search, check: Callable[[], None]) -> tuple[Task, str]:
    """The task for a recording, UNDAMAGED where there is nothing to do; and in one line what was found.

    check: see `detect_file`.
    """
    return task_of(detect_file(source, search.wanted, check=check), search)


def task_of(findings: Findings, search: Search = EVERY_KIND) -> tuple[Task, str]:
    """What repairs what was found, UNDAMAGED where there is nothing to do; and in one line what that is.

    search: the kinds of damage that are to be repaired, and parts of the task that are known already.
    """
    found = [_FOUND[wanted](findings) for wanted in search.wanted]
    task = joined([*search.known, *(part for part, _ in found)])
    said = "; ".join(words for _, words in found)
    return task, f"{said}; nothing is changed" if task == UNDAMAGED else said


def bwe_task(findings: Findings) -> tuple[Part, str]:
    """The highest of the channels' cutoffs, so that nothing is added where something is left."""
    cutoffs = [each for each in findings.cutoffs if each.confidence >= SURE and not each.is_codec]
    if not cutoffs:
        return UNDAMAGED, _no_lost_highs(findings)
    highest, lowest = (choose(each.cutoff_hz for each in cutoffs) for choose in (max, min))
    if whole := _higher_channels(findings, highest):
        return UNDAMAGED, (
            f"lost highs found, but not in channel {min(whole) + 1}, which would get them twice: split the channels"
        )
    if intact := _highs(cutoffs):
        return UNDAMAGED, (
            f"lost highs found, but from {intact.start_s:.0f} to {intact.stop_s:.0f} s they are there, and would be "
            "replaced: cut that out, and restore the rest by itself"
        )
    said = f"nothing is left above {highest:.0f} Hz ({sureness(cutoffs)})"
    if highest > _SAME_CUTOFF * lowest:
        said += f"; in one channel above {lowest:.0f} Hz"
    least, most = min(each.range_hz[0] for each in cutoffs), max(each.range_hz[1] for each in cutoffs)
    if most > _SAME_CUTOFF * least:
        said += f"; it changes between {least:.0f} and {most:.0f} Hz"
    return BandwidthExtension(highest), said


def _no_lost_highs(findings: Findings) -> str:
    codec = next((each for each in findings.cutoffs if each.is_codec), None)
    if codec is None:
        return "no lost highs found"
    said = f"only a lossy codec's low-pass at {codec.cutoff_hz:.0f} Hz found"
    # What nobody hears is not worth undoing, and may lie above what a prior knows.
    return said if codec.cutoff_hz > _HEARD_HZ else f"{said}, which takes --cutoff {codec.cutoff_hz:.0f} to be undone"


def _higher_channels(findings: Findings, cutoff_hz: float) -> set[int]:
    """The channels that can be heard and have something left above the cutoff, though a codec may have cut it, too."""
    sounding = {channel for channel, (low, high) in enumerate(findings.extremes) if max(-low, high) > _AUDIBLE}
    return sounding - {each.channel for each in findings.cutoffs if each.cutoff_hz <= _SAME_CUTOFF * cutoff_hz}


def _highs(cutoffs: Iterable[Cutoff]) -> Stretch | None:
    """The first stretch, long enough to be sure of, in which a channel has the highs that it lost elsewhere."""
    stretches = (each for cutoff in cutoffs for each in cutoff.stretches)
    return next((each for each in stretches if each.has_highs and each.stop_s - each.start_s >= SEGMENT_S), None)


def declip_task(findings: Findings) -> tuple[Part, str]:
    """One level for all channels and polarities, where it describes them."""
    levels = [each for each in findings.clip_levels if each.confidence >= SURE]
    hard = [each for each in levels if each.kind == "hard"]
    if not hard:
        return UNDAMAGED, (
            "peaks were bent by soft clipping, which declip cannot undo" if levels else "no clipping found"
        )
    lowest, highest = min(abs(each.level) for each in hard), max(abs(each.level) for each in hard)
    # Where music goes beyond a level it was not clipped there, and would lose its peaks. What passes it alone, as a
    # click or the overshoot of a filter does, is no sound peak: a clipped recording is not given up for its dust.
    beyond = max((highest, *findings.sustained))
    if beyond > SAME_LEVEL * lowest:
        return UNDAMAGED, (
            f"clipping at {lowest:.4g} found, but sound goes up to {beyond:.4g} elsewhere, which one threshold cannot "
            "say: restore the clipped channels or stretches by themselves"
        )
    return Declipping(max(lowest - STEP, STEP)), f"peaks were cut at {lowest:.4g} ({sureness(hard)})"


def inpaint_task(findings: Findings) -> tuple[Inpainting, str]:
    """All gaps and clicks, each in the channels that have it."""
    gaps = [gap for gap in findings.gaps if gap.confidence >= SURE]
    if not gaps:
        return UNDAMAGED, "no gaps found"
    channels = range(findings.channels)
    total = sum(gap.stop - gap.first for gap in gaps) / findings.sample_rate
    own = [[gap_s(gap, findings.sample_rate) for gap in gaps if channel in gap.channels] for channel in channels]
    return gaps_of(own), f"{counted(gaps)} found, {total:.3f} s in all ({sureness(gaps)})"


_FOUND: dict[Kind, Callable[[Findings], tuple[Part, str]]] = {
    "cutoff": bwe_task,
    "clipping": declip_task,
    "gaps": inpaint_task,
}


def gap_s(gap: Gap, sample_rate: int) -> tuple[float, float]:
    """From and to in seconds, of a click with what is beside it."""
    beside = _BESIDE_CLICK if gap.kind == "click" else 0
    return max(0, gap.first - beside) / sample_rate, (gap.stop + beside) / sample_rate


def counted(gaps: Iterable[Gap]) -> str:
    """How many of each kind: "2 stretches of digital zero, 1 click"."""
    return ", ".join(_counts([gap.kind for gap in gaps]))


_NAMES = {
    "zero": ("stretch of digital zero", "stretches of digital zero"),
    "held": ("held sample", "held samples"),
    "repeated": ("repeated buffer", "repeated buffers"),
    "dropout": ("dropout", "dropouts"),
    "click": ("click", "clicks"),
}


def _counts(kinds: list[str]) -> Iterator[str]:
    for kind, (one, several) in _NAMES.items():
        if number := kinds.count(kind):
            yield f"{number} {one if number == 1 else several}"


def sureness(found: Iterable[Cutoff | ClipLevel | Gap]) -> str:
    """The least confidence, in words."""
    return f"confidence {min(each.confidence for each in found):.2f}"
