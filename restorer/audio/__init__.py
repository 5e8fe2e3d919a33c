"""Sound files and pipes, in blocks of float64 (frames, channels): what they are, in, out, and at another rate."""

from restorer.audio.files import open_reader, open_writer, probe
from restorer.audio.format import (
    SUFFIXES,
    TAG_NAMES,
    AudioFormat,
    AudioInfo,
    AudioReader,
    AudioWriter,
    Samples,
    Tags,
    output_format,
)
from restorer.audio.rate import Resampler, resample, resampled_length

__all__ = [
    "SUFFIXES",
    "TAG_NAMES",
    "AudioFormat",
    "AudioInfo",
    "AudioReader",
    "AudioWriter",
    "Resampler",
    "Samples",
    "Tags",
    "open_reader",
    "open_writer",
    "output_format",
    "probe",
    "resample",
    "resampled_length",
]
