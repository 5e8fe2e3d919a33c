"""Where a result goes: compared with the recording, converted where that was asked for, stored."""

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from restorer.audio import AudioFormat, AudioWriter, Samples
from restorer.audio.chain import chained
from restorer.audio.writer import FileWriter
from restorer.restoration.doubt import Doubts
from restorer.restoration.task import BandwidthExtension, Task, parts_of
from restorer.restoration.verify import Verifier
from restorer.restoration.wanted import Wanted


class Outlet:
    """A context manager; leaving it cleanly is what completes the result. heard: the recording's format."""

    def __init__(self, writer: AudioWriter, task: Task, heard: AudioFormat, wanted: Wanted, seed: int) -> None:
        form = writer.format
        rescales, clamps = wanted.clip_mode == "rescale", wanted.clip_mode == "clamp"
        self._end = writer
        self._chain = chained(writer, heard, rescales=rescales, clamps=clamps, seed=seed)
        self._in_file = form.sample_rate == heard.sample_rate and not rescales and not form.is_lossy
        adds_everywhere = any(isinstance(part, BandwidthExtension) for part in parts_of(task))
        step = _rounding(heard, form, always=adds_everywhere) if self._in_file else 0.0
        self.verifier = Verifier(
            task, heard.sample_rate, heard.channels, step=step, in_file=self._in_file,
            holds=self._in_file and (form.is_integer or clamps),
        )  # fmt: skip
        self._doubts = Doubts(task, heard)
        self._stack = ExitStack()

    def heard(self, block: Samples) -> None:
        """The next frames of the recording; ahead of what becomes of them."""
        self.verifier.heard(block)
        self._doubts.hear(block)

    def put(self, block: Samples) -> None:
        """The next frames of the result."""
        stored = self._chain[-1].write(block)
        self.verifier.compare(stored if self._in_file else block)

    def copy_instead(self, source: Path) -> bool:
        """Makes the target a copy of `source`; whether it is a file, which can be one."""
        if isinstance(self._end, FileWriter):
            self._end.copy_instead(source)
            return True
        return False

    @property
    def format(self) -> AudioFormat:
        return self._end.format

    @property
    def clipped(self) -> int:
        return self._chain[-1].clipped

    @property
    def peak(self) -> float:
        return self._chain[-1].peak

    @property
    def doubts(self) -> list[str]:
        """Where the recording contradicts the task; complete once all was heard."""
        return self._doubts.notes

    @property
    def notes(self) -> tuple[str, ...]:
        """Complete after the `with` block."""
        return self._chain[-1].notes

    def __enter__(self) -> Self:
        for each in self._chain:
            self._stack.enter_context(each)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)


def _rounding(heard: AudioFormat, form: AudioFormat, *, always: bool) -> float:
    """By how much storing may move a sample: 0 where the format holds what the recording's held.

    Two steps of integers cover rounding and dither. always: the samples are computed anew everywhere.
    """
    exact = _holds(heard, form) and not always
    if exact:
        return 0.0
    if form.is_integer and form.bits is not None:
        return 2 * 2.0 ** (1 - form.bits)
    return 2.0**-23 if form.subtype == "FLOAT" else 0.0


def _holds(heard: AudioFormat, form: AudioFormat) -> bool:
    if heard.is_integer and heard.bits is not None:
        mantissa = (form.bits or 0) if form.is_integer else 24 if form.subtype == "FLOAT" else 53
        return heard.bits <= mantissa
    return not form.is_integer and (form.subtype == "DOUBLE" or heard.subtype == "FLOAT")
