"""What there is to say of a restoration besides who did what: in lines for the user. Faults are broken promises."""

import math

from restorer.audio import AudioFormat, AudioReader
from restorer.audio.stream import PcmStreamReader
from restorer.restoration.fit import READING_S
from restorer.restoration.outlet import Outlet
from restorer.restoration.task import Declipping, Inpainting, Task, parts_of
from restorer.restoration.verify import Verification
from restorer.restoration.wanted import Wanted


def on_ending(reader: AudioReader) -> list[str]:
    """Whether the recording ends as it was meant to."""
    if reader.truncated:
        return ["the recording ends before its header says; what is there was restored"]
    if reader.format.container == "RAW" and isinstance(reader, PcmStreamReader) and reader.stray:
        left_out = f"with {reader.stray} of {reader.width} bytes, which are left out"
        return [f"it ends amid a frame, {left_out}; is --raw what it is?"]
    return []


def on_idling(task: Task, seconds: float, *, copied: bool) -> list[str]:
    """Why nothing was restored."""
    done = "it was copied bit for bit" if copied else "it was passed on as it is"
    match task:
        case Declipping(threshold) if seconds > 0:
            return [f"no sample reaches {threshold:g} of full scale, so nothing was to be restored: {done}"]
        case _:
            return [f"nothing was to be restored: {done}"] if seconds > 0 else []


def on_gaps(task: Task, seconds: float) -> list[str]:
    """Gaps that a stream, whose length nobody knew, turned out not to have, or not all of."""
    gaps_s = [gap for part in parts_of(task) if isinstance(part, Inpainting) for gap in part.gaps_s]
    beyond = [gap for gap in gaps_s if gap[1] > seconds + READING_S]
    return [
        f"it ends at {seconds:.3f} s, {'before' if first >= seconds else 'within'} the gap {first:g}-{stop:g}"
        for first, stop in beyond
    ]


def on_peaks(outlet: Outlet, heard: AudioFormat, wanted: Wanted, lost: int) -> list[str]:
    """lost: the samples above full scale that are among the faults."""
    form, notes = outlet.format, []
    if outlet.clipped > lost:
        why = f"as {form.subtype} has to; --clip-mode float keeps them (in WAV), rescale turns the recording down"
        asked = wanted.clip_mode == "clamp"
        notes.append(f"{_held(outlet.clipped, 'samples', outlet)}, {'as was asked' if asked else why}")
    nobody_asked = wanted.bits is None and wanted.clip_mode is None
    if nobody_asked and heard.is_integer and not form.is_integer and not form.is_lossy:
        notes.append(f"written in floating point ({form.container}), for its peaks may exceed full scale")
    return notes


def lost_peaks(verification: Verification, outlet: Outlet, heard: AudioFormat, wanted: Wanted) -> int:
    """How many sound samples above full scale were held at it, which nobody asked for.

    Those of a lossy recording are its codec's overshoot, which whoever plays it holds, too.
    """
    unasked = outlet.format.is_integer and wanted.clip_mode is None and not heard.is_lossy
    return min(verification.beyond, outlet.clipped) if unasked else 0


def faults_of(verification: Verification, outlet: Outlet, lost: int) -> tuple[str, ...]:
    """Where what was sound did not stay; lost: see `lost_peaks`."""
    faults = []
    if lost:
        faults.append(
            f"{_held(lost, 'sound samples', outlet)}, as {outlet.format.subtype} has to; keep the input, and choose "
            "--clip-mode rescale or a floating-point format"
        )
    if not verification.is_kept:
        faults.append(
            f"what was sound has changed: {verification}, more than {verification.allowed:.3g}; keep the input"
        )
    return tuple(faults)


def _held(count: int, what: str, outlet: Outlet) -> str:
    return f"{count} {what} above full scale, the highest at +{20 * math.log10(outlet.peak):.1f} dB, were held at it"
