"""The format a result gets: its source's, but for what was asked, what its name says and what its peaks need."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

from restorer.audio import SUFFIXES, AudioFormat, output_format
from restorer.audio.format import HIGHEST_RATE_HZ, LOWEST_RATE_HZ, can_write
from restorer.errors import UsageError
from restorer.restoration.task import Declipping, Task, parts_of
from restorer.restoration.wanted import Depth, FormatName, Wanted

_CONTAINERS: dict[FormatName, str] = {
    "wav": "WAV", "flac": "FLAC", "aiff": "AIFF", "caf": "CAF", "w64": "W64", "rf64": "RF64", "au": "AU",
    "ogg": "OGG", "opus": "OGG", "mp3": "MP3", "raw": "RAW",
}  # fmt: skip
_LOSSY = {"ogg": "VORBIS", "opus": "OPUS", "mp3": "MPEG_LAYER_III"}
_SUFFIXES = {
    "WAV": (".wav", ".wave"), "WAVEX": (".wav", ".wave"), "RF64": (".wav", ".wave", ".rf64"), "FLAC": (".flac",),
    "AIFF": (".aiff", ".aif", ".aifc"), "CAF": (".caf",), "W64": (".w64",), "AU": (".au", ".snd"),
}  # fmt: skip
_HEARD = {suffix: container for container, suffixes in reversed(_SUFFIXES.items()) for suffix in suffixes}
_SUBTYPES: dict[Depth, str] = {"16": "PCM_16", "24": "PCM_24", "32": "PCM_32", "float": "FLOAT"}
Name = Path | Literal["-"] | None
_STREAMED = ("wav", "flac", "raw")
_SAFE_THRESHOLD = 0.25  # peaks four times as high as where they were cut are rare


def result_format(source: AudioFormat, wanted: Wanted, task: Task | None, name: Name) -> AudioFormat:
    """task: None for what is no restoration. name: the target's, whose suffix is heard; None while it has none.

    Raises UsageError where a name denies what was asked, or a container cannot hold it.
    """
    form = output_format(source)
    if wanted.format in _LOSSY and wanted.bits is not None:
        raise UsageError(f"--bits {wanted.bits} makes no sense for --format {wanted.format}, which is lossy; leave one")
    if wanted.sample_rate is not None:
        form = replace(form, sample_rate=wanted.sample_rate)
    if wanted.format in _LOSSY:
        form = replace(form, container=_CONTAINERS[wanted.format], subtype=_LOSSY[wanted.format])
        _require_true_name(form, name, asked=True)
        return form
    fixed = _fixed_container(form, wanted, name)
    form = replace(form, container=fixed or form.container)
    _require_true_name(form, name, asked=wanted.format is not None)
    return _with_depth(form, wanted, task, is_fixed=fixed is not None)


def require_sensible(wanted: Wanted, *, to_stream: bool) -> None:
    """Raises UsageError for what no recording could be given."""
    rate = wanted.sample_rate
    if rate is not None and not LOWEST_RATE_HZ <= rate <= HIGHEST_RATE_HZ:
        raise UsageError(f"--rate {rate} lies outside {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ} Hz; give one such as 44100")
    if to_stream and wanted.format not in (None, *_STREAMED):
        raise UsageError(f"--format {wanted.format} cannot be written to a pipe; choose wav, flac or raw, or a file")
    if not to_stream and wanted.format == "raw":
        raise UsageError("--format raw is for standard output, for a file of it could not be read; add --out -")


def keeps_suffix(form: AudioFormat, suffix: str) -> bool:
    """Whether a file of this format may end so; an ending that is no sound file's says nothing."""
    suffix = suffix.lower()
    return suffix in (form.suffix, *_SUFFIXES.get(form.container, ())) or suffix not in SUFFIXES


def holds_float(container: str) -> bool:
    return container == "RAW" or can_write(container, "FLOAT")


def _fixed_container(form: AudioFormat, wanted: Wanted, name: Name) -> str | None:
    """The container that was asked for, by name or by suffix; None where the source decides."""
    if wanted.format is not None:
        return _CONTAINERS[wanted.format]
    if name == "-":
        return "WAV"
    if name is None or keeps_suffix(form, name.suffix):
        return form.container if name is not None and name.suffix.lower() in SUFFIXES else None
    return _HEARD.get(name.suffix.lower())


def _require_true_name(form: AudioFormat, name: Name, *, asked: bool) -> None:
    if isinstance(name, Path) and not keeps_suffix(form, name.suffix):
        remedy = "" if asked else ", or ask by --format"
        raise UsageError(f"{name} would hold {form.container}, which its name denies; end it in {form.suffix}{remedy}")


def _with_depth(form: AudioFormat, wanted: Wanted, task: Task | None, *, is_fixed: bool) -> AudioFormat:
    """The subtype that was asked for, or the nearest to the source's that the container has."""
    asked = _SUBTYPES[wanted.bits] if wanted.bits is not None else None
    if wanted.clip_mode == "float":
        if asked not in (None, "FLOAT"):
            raise UsageError(f"--clip-mode float contradicts --bits {wanted.bits}; leave one of them out")
        asked = _floating(form)
    parts = () if task is None else parts_of(task)
    peaks_may_exceed = any(isinstance(part, Declipping) and part.threshold > _SAFE_THRESHOLD for part in parts)
    if asked is None and wanted.clip_mode is None and peaks_may_exceed and holds_float(form.container):
        asked = _floating(form)
    if asked is not None and asked != form.subtype:
        return _holding(form, asked, is_fixed=is_fixed)
    return replace(form, subtype=_nearest(form))


def _floating(form: AudioFormat) -> str:
    """The floating point that loses nothing of the samples."""
    if not form.is_integer:
        return form.subtype
    return "FLOAT" if (form.bits or 0) <= 24 else "DOUBLE"


def _holding(form: AudioFormat, subtype: str, *, is_fixed: bool) -> AudioFormat:
    """What a container that nobody asked for cannot hold goes to WAV."""
    if form.container == "RAW" or can_write(form.container, subtype):
        return replace(form, subtype=subtype)
    if is_fixed:
        raise UsageError(f"{form.container} cannot hold {subtype}; leave out --bits or --clip-mode, or choose wav")
    return replace(form, container="WAV", subtype=subtype)


def _nearest(form: AudioFormat) -> str:
    bits = form.bits or 0
    same = form.subtype.replace("ALAC_20", "ALAC_24").replace("ALAC", "PCM")
    same = {"PCM_U8": "PCM_S8", "PCM_S8": "PCM_U8"}.get(same, same) if bits == 8 else same
    # 24 bits last: all that FLAC has for 32-bit and floating-point samples.
    for subtype in (form.subtype, same, "PCM_24"):
        if form.container == "RAW" or can_write(form.container, subtype):
            return subtype
    raise UsageError(f"{form.container} cannot hold {form.subtype}; choose another format, such as wav or flac")
