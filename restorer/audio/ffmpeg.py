"""Reading what only ffmpeg reads: m4a (AAC, ALAC), WMA, WavPack, APE, Matroska, the sound of a video..."""

import json
import os
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from restorer.audio.format import TAG_NAMES, AudioFormat, Samples, Tags, require_sane
from restorer.audio.samples import require_finite
from restorer.errors import AudioError

# Playlists, image sequences and the like, which open further files, are not among them; nor are the text formats.
_CONTAINERS = (
    "mov,matroska,webm,asf,wv,ape,tta,tak,aac,ac3,eac3,dts,mp3,ogg,flac,wav,aiff,caf,w64,au,mpc,mpc8,amr,rm,oma,"
    "avi,flv,mpegts,mpeg"
)
_GUARDS = ["-v", "error", "-protocol_whitelist", "file", "-format_whitelist", _CONTAINERS]
_LOSSLESS = ("alac", "wavpack", "ape", "tta", "tak", "flac", "mlp", "truehd", "pcm_")
_PROBE_LIMIT_S = 60
_REPEATED = "Last message repeated"

# ffmpeg reports a damaged packet and goes on behind it. Where no more sound than this follows the report, it was the
# packet that a truncated file breaks off in (the longest take a quarter of a second) and what the pipe held.
_TAIL_S, _TAIL_BYTES = 0.5, 1 << 17
_CHUNK = 1 << 16


@dataclass(frozen=True)
class FfmpegInfo:
    format: AudioFormat
    tags: Tags
    layout: str  # ffmpeg's name for the loudspeakers of the channels, perhaps "unknown"


def probe_with_ffmpeg(path: Path, name: str) -> FfmpegInfo:
    """The first sound track of a file. Raises AudioError if there is none, or no ffmpeg to look for it."""
    ffprobe = _program("ffprobe", name)
    what = "format=format_name:format_tags:stream_tags:stream=codec_name,sample_fmt,sample_rate,channels,"
    what += "channel_layout,bits_per_raw_sample"
    command = [ffprobe, *_GUARDS, "-select_streams", "a:0", "-show_entries", what, "-of", "json", _source(path)]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PROBE_LIMIT_S)
    except subprocess.TimeoutExpired as error:
        raise AudioError(f"{name} kept ffprobe busy for {_PROBE_LIMIT_S} s; convert it to WAV or FLAC first") from error
    # of a file that it gives up on, it may have written half an object
    found: dict[str, Any] = json.loads(done.stdout or "{}") if done.returncode == 0 else {}
    if not found.get("format"):
        raise AudioError(_unreadable(name, _last_line(done.stderr, path)))
    if not found.get("streams"):
        raise AudioError(_unreadable(name, "it holds no sound"))
    stream = found["streams"][0]
    if "codec_name" not in stream:
        raise AudioError(_unreadable(name, "its sound is of a codec that ffmpeg does not know"))
    rate, channels = int(stream.get("sample_rate", 0)), int(stream.get("channels", 0))
    require_sane(rate, channels, name)
    container = found["format"]["format_name"].split(",")[0].upper()
    tags = {**stream.get("tags", {}), **found["format"].get("tags", {})}
    layout = str(stream.get("channel_layout", "unknown"))
    return FfmpegInfo(AudioFormat(container, _subtype(stream), rate, channels), _known_tags(tags), layout)


class FfmpegReader:
    """An AudioReader of a file that ffmpeg decodes in a process of its own, as float64: nothing is lost."""

    def __init__(self, path: Path, name: str, cleanup: Callable[[], object] = lambda: None) -> None:
        """`name` is what errors call the file; `cleanup` runs when the reader is closed."""
        info = probe_with_ffmpeg(path, name)
        self.format: AudioFormat = info.format
        self.frames: int | None = None
        self.tags: Tags = info.tags
        self._name, self._cleanup = name, cleanup
        self._width = 8 * info.format.channels
        self._held = bytearray()
        self._received = 0  # bytes
        self._given = 0  # frames
        self._fault_at: int | None = None  # bytes received when ffmpeg first reported one
        self._over = False
        command = [_program("ffmpeg", name), "-nostdin", *_GUARDS]
        # one thread: with several, sound from before a fault comes out long after the report of it
        command += ["-threads", "1", "-i", _source(path), "-map", "0:a:0"]
        # should they change on the way; `-ac 4` would be 4.0, to which ffmpeg would mix what is quad
        command += ["-ar", str(info.format.sample_rate)]
        command += ["-af", f"aformat=channel_layouts={info.layout}"] if info.layout != "unknown" else []
        command += ["-c:a", "pcm_f64le", "-f", "f64le", "-"]
        self._reports = tempfile.TemporaryFile()  # noqa: SIM115 (closed in __exit__)
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._reports, bufsize=0
        )

    @property
    def truncated(self) -> bool:
        return self._over and self._fault_at is not None

    def read(self, frames: int) -> Samples:
        wanted = frames * self._width
        while len(self._held) < wanted and not self._over:
            self._receive()
        whole = min(len(self._held) // self._width, frames) * self._width
        block = np.frombuffer(bytes(self._held[:whole]), "<f8").reshape(-1, self.format.channels).copy()
        del self._held[:whole]
        require_finite(block, self._given, self.format.sample_rate, self._name)
        self._given += len(block)
        return block

    def _receive(self) -> None:
        assert self._process.stdout is not None
        chunk = self._process.stdout.read(_CHUNK)
        self._held += chunk
        self._received += len(chunk)
        if not chunk:
            self._over = True
            if self._process.wait() != 0:
                raise self._damaged(self._received)
        if self._fault_at is None and os.fstat(self._reports.fileno()).st_size > 0:
            self._fault_at = self._received
        tail = _TAIL_S * self.format.sample_rate * self._width + _TAIL_BYTES
        if self._fault_at is not None and self._received - self._fault_at > tail:
            raise self._damaged(self._fault_at)

    def _damaged(self, at: int) -> AudioError:
        self._reports.seek(0)
        reason = self._reports.readline().decode(errors="replace").strip()
        return AudioError(
            f"{self._name} cannot be decoded at about {at / self._width / self.format.sample_rate:.1f} s "
            f"(ffmpeg: {reason}): the file is damaged; repair it, or cut it before that time"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._reports.close()
        self._cleanup()


def _program(program: str, name: str) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydub warns by itself where there is no ffmpeg, on several lines
        from pydub.utils import which
    found = which(program)
    if found is None:
        raise AudioError(
            f"{name} is not a file that can be read without {program}, which is not on the PATH; "
            "install ffmpeg, or convert the file to WAV or FLAC"
        )
    return str(found)


def _source(path: Path) -> str:
    return f"file:{path}"  # else a name like `concat:a|b` or `-y` would be an instruction


def _last_line(stderr: bytes, path: Path) -> str:
    lines = [line for line in stderr.decode(errors="replace").splitlines() if line.strip() and _REPEATED not in line]
    return (lines or ["no reason given"])[-1].removeprefix(f"{_source(path)}: ")


def _unreadable(name: str, reason: str) -> str:
    return (
        f"{name} is not an audio file that can be read ({reason}); "
        "give a WAV, FLAC, OGG, MP3, AIFF or M4A file, or another that ffmpeg reads"
    )


def _subtype(stream: Mapping[str, Any]) -> str:
    """soundfile's name for the samples of a lossless codec, else the codec's own."""
    codec, kind = str(stream["codec_name"]), str(stream.get("sample_fmt", ""))
    if not codec.startswith(_LOSSLESS) or codec in ("pcm_alaw", "pcm_mulaw"):
        return codec.upper()
    if kind.startswith("dbl"):
        return "DOUBLE"
    if kind.startswith("flt"):
        return "FLOAT"
    bits = int(stream.get("bits_per_raw_sample") or (16 if kind.startswith(("s16", "u8")) else 32))
    return "PCM_" + str(next(step for step in (16, 24, 32) if bits <= step))


def _known_tags(found: Mapping[str, str]) -> Tags:
    lower = {key.lower(): value for key, value in found.items()}
    lower.setdefault("tracknumber", lower.get("track", ""))
    return {name: lower[name] for name in TAG_NAMES if lower.get(name)}
