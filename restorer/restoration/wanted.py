"""What was asked of a result's format; light enough for the command line to know before anything is imported."""

from dataclasses import dataclass
from typing import Literal, get_args

from restorer.errors import UsageError

FormatName = Literal["wav", "flac", "aiff", "caf", "w64", "rf64", "au", "ogg", "opus", "mp3", "raw"]
Depth = Literal["16", "24", "32", "float"]
ClipMode = Literal["float", "rescale", "clamp"]


@dataclass(frozen=True)
class Wanted:
    """None: as the input has it.

    clip_mode is what becomes of peaks above full scale: kept in floating point, kept by turning the whole recording
    down, or held at full scale, the recording's own among them. None: floating point where declipping may raise peaks
    so far and the container has it; else they are held, with a warning that counts them. That is what FLAC, which has
    no floating point, gets: a sound sample must not change unasked, not even its level, and what was held can be made
    again from the input, which is never overwritten. Where sound itself is held unasked, that is a fault. Raises
    UsageError for words that do not exist.
    """

    format: FormatName | None = None
    bits: Depth | None = None
    sample_rate: int | None = None
    clip_mode: ClipMode | None = None

    def __post_init__(self) -> None:
        for name, known in (("format", FormatName), ("bits", Depth), ("clip_mode", ClipMode)):
            if (word := getattr(self, name)) is not None and word not in get_args(known):
                raise UsageError(f"{name} {word!r} is unknown; choose of: {', '.join(map(repr, get_args(known)))}")


LIKE_INPUT = Wanted()
