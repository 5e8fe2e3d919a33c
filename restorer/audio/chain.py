"""What stands before a writer: another rate, a lower level, a limit, dither. Each is an AudioWriter of the next."""

import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import numpy as np

from restorer.audio.dither import needs_dither, tpdf
from restorer.audio.format import AudioFormat, AudioWriter, Samples
from restorer.audio.rate import Resampler
from restorer.errors import AudioError

_STEP = 1 << 16  # frames of the spool that are read at once


class _Before:
    """An AudioWriter that hands on to the next one; leaving its `with` block leaves the next one's alone."""

    def __init__(self, onward: AudioWriter) -> None:
        self._onward = onward

    @property
    def format(self) -> AudioFormat:
        return self._onward.format

    @property
    def frames(self) -> int:
        return self._onward.frames

    @property
    def clipped(self) -> int:
        return self._onward.clipped

    @property
    def peak(self) -> float:
        return self._onward.peak

    @property
    def notes(self) -> tuple[str, ...]:
        return self._onward.notes

    def write(self, block: Samples) -> Samples:
        return self._onward.write(block)

    def _complete(self) -> None:
        """Hand on what is still held back."""

    def _discard(self) -> None:
        """Let go of what was opened."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._complete()
        finally:
            self._discard()


class Resampled(_Before):
    """Sound at from_rate (Hz), handed on at the next writer's rate."""

    def __init__(self, onward: AudioWriter, from_rate: int) -> None:
        super().__init__(onward)
        self._resampler = Resampler(from_rate, onward.format.sample_rate, onward.format.channels)

    def write(self, block: Samples) -> Samples:
        return self._onward.write(self._resampler.push(block))

    def _complete(self) -> None:
        self._onward.write(self._resampler.finish())


class Dithered(_Before):
    """Noise of `tpdf`, in steps of the next writer's depth, so that it may round."""

    def __init__(self, onward: AudioWriter, seed: int) -> None:
        super().__init__(onward)
        assert onward.format.is_integer
        assert onward.format.bits is not None
        self._step, self._seed = 2.0 ** (1 - onward.format.bits), seed

    def write(self, block: Samples) -> Samples:
        noise = tpdf(self._seed, self._onward.frames, len(block), block.shape[1])
        return self._onward.write(block + self._step * noise)


class Held(_Before):
    """Peaks above full scale, held at it for a format that would keep them."""

    def __init__(self, onward: AudioWriter) -> None:
        super().__init__(onward)
        self._clipped, self._highest = 0, 0.0

    @property
    def clipped(self) -> int:
        return self._clipped

    @property
    def peak(self) -> float:
        return self._highest

    def write(self, block: Samples) -> Samples:
        self._clipped += int(np.count_nonzero(np.abs(block) > 1.0))
        self._highest = max(self._highest, float(np.abs(block).max(initial=0.0)))
        return self._onward.write(np.clip(block, -1.0, 1.0))


class TurnedDown(_Before):
    """All of a recording by one gain, so that its highest peak fits; untouched where it does.

    The peak is known at the end only: until then the samples wait, in float64, in a temporary file.
    """

    def __init__(self, onward: AudioWriter, seed: int, *, dithers: bool) -> None:
        """dithers: also where no gain is needed; with one, integers always are, for no sample is on its step then."""
        super().__init__(onward)
        self._seed, self._dithers = seed, dithers
        self._spool = tempfile.TemporaryFile(prefix="restorer-")  # noqa: SIM115 (closed in _discard)
        self._frames = 0
        self._highest = 0.0
        self.gain = 1.0

    @property
    def frames(self) -> int:
        return self._frames

    @property
    def notes(self) -> tuple[str, ...]:
        if self.gain == 1.0:
            return self._onward.notes
        decibels = 20 * np.log10(self.gain)
        return (*self._onward.notes, f"turned down by {-decibels:.2f} dB, all of it, so that its peaks fit")

    def write(self, block: Samples) -> Samples:
        try:
            self._spool.write(np.ascontiguousarray(block, "<f8").tobytes())
        except OSError as error:
            raise AudioError(
                f"the result cannot be kept in {tempfile.gettempdir()} until its highest peak is known "
                f"({error.strerror}); free some space there, or choose --clip-mode float or clamp"
            ) from error
        self._frames += len(block)
        self._highest = max(self._highest, float(np.abs(block).max(initial=0.0)))
        return block

    def _complete(self) -> None:
        form = self._onward.format
        top = 1.0
        if form.is_integer and form.bits is not None:
            top -= 2 * 2.0 ** (1 - form.bits)  # a step that integers lack at the top, and one for the dither
        onward = self._onward
        if self._highest > 1.0:
            self.gain = top / self._highest
        if self._dithers or (self.gain < 1.0 and form.is_integer):
            onward = Dithered(onward, self._seed)
        for block in self._kept(form.channels):
            onward.write(self.gain * block)

    def _kept(self, channels: int) -> Iterator[Samples]:
        self._spool.seek(0)
        while raw := self._spool.read(8 * channels * _STEP):
            yield np.frombuffer(raw, "<f8").reshape(-1, channels)

    def _discard(self) -> None:
        self._spool.close()


def chained(
    writer: AudioWriter, held: AudioFormat, *, rescales: bool, seed: int, clamps: bool = False
) -> list[AudioWriter]:
    """`writer` and what stands before it for sound of format `held`; into the last one goes the sound.

    To be entered in this order: what is left first hands on what it held back. rescales: peaks that do not fit turn the
    whole recording down; clamps: they are held, whatever the format. seed: of the dither, which is added where depth is
    lost.
    """
    chain = [writer]
    computed = held.sample_rate != writer.format.sample_rate
    dithers = needs_dither(held, writer.format, computed=computed)
    if rescales:
        chain.append(TurnedDown(writer, seed, dithers=dithers))
    elif dithers:
        chain.append(Dithered(writer, seed))
    elif clamps and not writer.format.is_integer:
        chain.append(Held(writer))
    if computed:
        chain.append(Resampled(chain[-1], held.sample_rate))
    return chain
