"""From words to values: `1k`, `-10dB`, `2.0-2.5`, `1:02.5-1:03`. Pure functions; each refusal is a UsageError."""

import math
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from restorer.bench.severity import Severity
from restorer.dsp import LOWEST_CUTOFF_HZ
from restorer.errors import UsageError
from restorer.restoration.task import LOWEST_THRESHOLD, merged_gaps

if TYPE_CHECKING:
    from restorer.audio.format import AudioFormat

_NUMBER = r"\d+(?:\.\d*)?|\.\d+"
_FREQUENCY = re.compile(rf"({_NUMBER})\s*(k|hz|khz|)", re.IGNORECASE | re.ASCII)
_DECIBELS = re.compile(rf"([+-]?(?:{_NUMBER}))\s*dB(?:FS)?", re.IGNORECASE | re.ASCII)
_LINEAR = re.compile(rf"[+-]?(?:{_NUMBER})(?:e-?\d+)?", re.IGNORECASE | re.ASCII)
_SEVERITY = re.compile(rf"({_NUMBER})\s*(k|hz|khz|ms|s|dB)", re.IGNORECASE | re.ASCII)
_TIME = re.compile(rf"(?:(?:(\d+):)?(\d+):)?({_NUMBER})", re.ASCII)
_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?", re.ASCII)


def parse_frequency(word: str, option: str = "--cutoff") -> float:
    """Hz, of a cutoff: at least LOWEST_CUTOFF_HZ.

    >>> parse_frequency("1k"), parse_frequency("1.5kHz"), parse_frequency("3000")
    (1000.0, 1500.0, 3000.0)
    """
    frequency_hz = _hertz(word)
    if frequency_hz is None:
        raise UsageError(f"{option} {word!r} is not a frequency; write it as 1k, 1.5kHz or 3000")
    if not LOWEST_CUTOFF_HZ <= frequency_hz < math.inf:
        raise UsageError(
            f"{option} {word!r} must be at least {LOWEST_CUTOFF_HZ:g} Hz; give the highest frequency that is left, "
            "such as 1k for 1000 Hz"
        )
    return frequency_hz


def parse_rate(word: str, option: str = "--rate") -> int:
    """Hz, of a sample rate: a whole number of them.

    >>> parse_rate("44.1k"), parse_rate("48000")
    (44100, 48000)
    """
    rate_hz = _hertz(word)
    if rate_hz is None or not rate_hz.is_integer():
        raise UsageError(f"{option} {word!r} is not a sample rate; write it as 44.1k or 44100")
    return int(rate_hz)


def _hertz(word: str) -> float | None:
    """To the millionth, as thousands of decimal fractions are not exact; None for what is no frequency."""
    match = _FREQUENCY.fullmatch(word.strip())
    return None if match is None else round(float(match[1]) * (1000 if match[2].lower().startswith("k") else 1), 6)


def parse_severity(word: str, option: str = "--severity") -> Severity:
    """A cutoff, gaps of a length, or the SDR that clipping leaves: the unit says which.

    >>> [str(parse_severity(word)) for word in ("3k", "50ms", "1.5s", "10dB")]
    ['3 kHz', '50 ms', '1500 ms', '10 dB']
    """
    written = _SEVERITY.fullmatch(word.strip())
    if written is None or float(written[1]) == 0:
        raise UsageError(f"{option} {word!r} is no severity; give a cutoff (1k), gaps (50ms, 1.5s) or an SDR (10dB)")
    value = float(written[1])
    match written[2].lower():
        case "db":
            return Severity("declip", value)
        case "ms":
            return Severity("inpaint", value / 1000)
        case "s":
            return Severity("inpaint", value)
        case _:
            return Severity("bwe", parse_frequency(word, option))


def parse_threshold(word: str, option: str = "--threshold") -> float:
    """Linear full scale, LOWEST_THRESHOLD to 1.

    >>> parse_threshold("0.3"), parse_threshold("-20dB")
    (0.3, 0.1)
    """
    remedy = "give the level at which the peaks were cut, such as 0.3 or -10dB"
    decibels, linear = _DECIBELS.fullmatch(word.strip()), _LINEAR.fullmatch(word.strip())
    if decibels:
        threshold = 10 ** (min(float(decibels[1]), 1000.0) / 20)
    elif linear:
        threshold = float(word)
    else:
        raise UsageError(f"{option} {word!r} is not a level; {remedy}")
    if threshold < 0:
        raise UsageError(f"{option} {word!r} is negative; write {word.strip()}dB if it is a level in decibels")
    if not 0 < threshold <= 1:
        raise UsageError(f"{option} {word!r} must lie above 0 and at most at 1, full scale (0dB); {remedy}")
    if threshold < LOWEST_THRESHOLD:
        raise UsageError(f"{option} {word!r} is less than a step of 16 bits, -90dB; {remedy}")
    return threshold


def parse_time(word: str) -> float:
    """Seconds, at least 0; hours and minutes before colons.

    >>> parse_time("2.5"), parse_time("1:02.5"), parse_time("1:00:02")
    (2.5, 62.5, 3602.0)
    """
    match = _TIME.fullmatch(word.strip())
    if match is None:
        raise UsageError(f"{word!r} is not a time; write seconds, minutes:seconds or hours:minutes:seconds, as 1:02.5")
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    if (match[2] and seconds >= 60) or (match[1] and minutes >= 60):
        raise UsageError(f"{word!r} is not a time; behind a colon a number lies below 60, as in 1:02.5")
    time_s = 3600 * hours + 60 * minutes + seconds
    if time_s == math.inf:
        raise UsageError(f"{word!r} is longer than any recording; give a time in seconds, such as 62.5")
    return time_s


def parse_gap(word: str, option: str = "--gap") -> tuple[float, float]:
    """From and to in seconds.

    >>> parse_gap("2.0-2.5"), parse_gap("1:02.5-1:03")
    ((2.0, 2.5), (62.5, 63.0))
    """
    first, dash, last = word.partition("-")
    if not dash:
        raise UsageError(
            f"{option} {word!r} is not a gap; write its start, a dash and its end, as 2.0-2.5 or 1:02-1:03"
        )
    try:
        start, stop = parse_time(first), parse_time(last)
    except UsageError as error:
        raise UsageError(f"{option} {word!r}: {error}") from error
    if start == stop:
        raise UsageError(f"{option} {word!r} is empty; its end must lie behind its start, as in 2.0-2.5")
    if start > stop:
        raise UsageError(f"{option} {word!r} ends before it starts; write {last.strip()}-{first.strip()}")
    return start, stop


def parse_gaps(words: Iterable[str], option: str = "--gap") -> tuple[tuple[float, float], ...]:
    """Gaps in the order of time; those that touch or overlap become one.

    >>> parse_gaps(["4-5", "1-2", "1.5-3"])
    ((1.0, 3.0), (4.0, 5.0))
    """
    return merged_gaps(parse_gap(word, option) for word in words)


def parse_duration(word: str, option: str = "SECONDS") -> float:
    """Seconds, above 0."""
    try:
        seconds = parse_time(word)
    except UsageError as error:
        raise UsageError(f"{option} {error}") from error
    if seconds == 0:
        raise UsageError(f"{option} {word!r} is no time at all; give more than 0 seconds")
    return seconds


_RAW = {"u8": "PCM_U8", "s8": "PCM_S8", "s16le": "PCM_16", "s24le": "PCM_24", "s32le": "PCM_32", "f32le": "FLOAT",
        "f64le": "DOUBLE"}  # fmt: skip


def parse_raw(word: str, option: str = "--raw") -> "AudioFormat":
    """Samples without a header: their kind, rate in Hz and channels, as s16le:44100:2.

    >>> parse_raw("s24le:96000:1")
    AudioFormat(container='RAW', subtype='PCM_24', sample_rate=96000, channels=1)
    """
    from restorer.audio.format import HIGHEST_RATE_HZ, LOWEST_RATE_HZ, MAX_CHANNELS, AudioFormat

    kind, rate, channels = [*word.split(":"), "", ""][:3]
    if word.count(":") != 2 or kind not in _RAW or not rate.isdecimal() or not channels.isdecimal():
        raise UsageError(f"{option} {word!r} does not say what it is; give {', '.join(_RAW)}, as in s16le:44100:2")
    form = AudioFormat("RAW", _RAW[kind], int(rate), int(channels))
    if not (LOWEST_RATE_HZ <= form.sample_rate <= HIGHEST_RATE_HZ and 1 <= form.channels <= MAX_CHANNELS):
        raise UsageError(
            f"{option} {word!r} lies outside {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ} Hz, 1 to {MAX_CHANNELS} channels"
        )
    return form


def parse_device(word: str, option: str = "--device") -> str:
    """`auto`, `cpu`, `cuda` or `cuda:N`; whether it is there is known only to torch."""
    if _DEVICE.fullmatch(word) is None:
        raise UsageError(f"{option} {word!r} is not a device; choose auto, cpu, cuda or, for the second GPU, cuda:1")
    return word
