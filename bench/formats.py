"""Every format in, and what comes out of it: as ffprobe sees both, not our own readers.

    python bench/formats.py [--results]

ffmpeg, sox and libsndfile make a second of noise in every format, with tags and a cover where it has a place for them;
one `restorer inpaint FOLDER --gap 0.4-0.45 --steps 1 --sidecar` restores them all, and one more each turns a tagged
FLAC into every --format. Then ffprobe reads container, codec, rate, depth, channels and tags of both, and ffmpeg
decodes both: `changed` counts the samples outside the gap and its fades that differ.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from restorer.cli.app import main as restorer
from restorer.errors import RestorerError

TAGS = {"title": "Träumerei", "artist": "C. Haskil", "album": "Kinderszenen", "date": "1955", "track": "7/13"}
GAP_S = (0.4, 0.45)
FADE = 64
WORDS = ["--gap", f"{GAP_S[0]}-{GAP_S[1]}", "--steps", "1", "--device", "cpu", "--quiet"]
FORMATS = ("wav", "flac", "aiff", "caf", "w64", "rf64", "au", "ogg", "mp3")

# name: (sample rate, channels, ffmpeg's options)
BY_FFMPEG = {
    "u8.wav": (8000, 1, ["-c:a", "pcm_u8"]),
    "wav16.wav": (44100, 2, ["-c:a", "pcm_s16le"]),
    "wav24.wav": (96000, 2, ["-c:a", "pcm_s24le"]),
    "wav32.wav": (192000, 1, ["-c:a", "pcm_s32le"]),
    "float.wav": (48000, 2, ["-c:a", "pcm_f32le"]),
    "double.wav": (48000, 1, ["-c:a", "pcm_f64le"]),
    "extensible.wav": (48000, 6, ["-c:a", "pcm_s24le"]),
    "eight.wav": (44100, 8, ["-c:a", "pcm_s16le"]),
    "rf64.wav": (44100, 2, ["-c:a", "pcm_s24le", "-rf64", "always"]),
    "w64.w64": (44100, 2, ["-c:a", "pcm_s24le"]),
    "aiff16.aiff": (44100, 2, ["-c:a", "pcm_s16be", "-write_id3v2", "1"]),
    "aiff24.aif": (96000, 2, ["-c:a", "pcm_s24be"]),
    "caf24.caf": (44100, 2, ["-c:a", "pcm_s24le"]),
    "flac16.flac": (44100, 2, ["-sample_fmt", "s16"]),
    "flac24.flac": (192000, 2, ["-sample_fmt", "s32", "-bits_per_raw_sample", "24"]),
    "five-one.flac": (48000, 6, ["-sample_fmt", "s16"]),
    "flac-named.wav": (44100, 2, ["-f", "flac", "-sample_fmt", "s16"]),
    "vorbis.ogg": (44100, 2, ["-c:a", "libvorbis"]),
    "opus.opus": (48000, 2, ["-c:a", "libopus"]),
    "mp3.mp3": (44100, 2, ["-c:a", "libmp3lame"]),
    "aac.m4a": (44100, 2, ["-c:a", "aac"]),
    "alac.m4a": (48000, 2, ["-c:a", "alac", "-sample_fmt", "s32p"]),
    "wma.wma": (44100, 2, ["-c:a", "wmav2"]),
    "wavpack.wv": (44100, 2, ["-c:a", "wavpack", "-sample_fmt", "s16p"]),
    "matroska.mka": (44100, 2, ["-c:a", "flac", "-sample_fmt", "s16"]),
}  # fmt: skip
WITH_COVER = ("flac16.flac", "flac24.flac", "mp3.mp3", "aac.m4a", "alac.m4a", "aiff16.aiff")


@dataclass(frozen=True)
class Seen:
    """What ffprobe says of a file."""

    container: str
    codec: str
    rate: int
    bits: str
    channels: int
    tags: dict[str, str]
    cover: bool

    def __str__(self) -> str:
        return f"{self.container}, {self.codec}, {self.rate} Hz, {self.bits}, {self.channels} ch"


@dataclass(frozen=True)
class Row:
    name: str
    before: Seen
    after: Seen
    target: str
    changed: str

    def __str__(self) -> str:
        kept = [name for name in TAGS if _same(self.before, self.after, name)]
        had = [name for name in TAGS if name in self.before.tags]
        cover = {(True, True): "kept", (True, False): "lost", (False, False): "-"}.get(
            (self.before.cover, self.after.cover), "new"
        )
        tags = f"{len(kept)} of {len(had)}" if had else "-"
        return f"| {self.name} | {self.before} | {self.target} | {self.after} | {tags} | {cover} | {self.changed} |"


def _same(before: Seen, after: Seen, name: str) -> bool:
    return name in before.tags and after.tags.get(name, "").split("/")[0] == before.tags[name].split("/")[0]


def make(folder: Path) -> None:
    """The recordings, from noise that ffmpeg reads as 64-bit floating point."""
    folder.mkdir()
    cover = folder.parent / "cover.png"
    _ffmpeg("-f", "lavfi", "-i", "color=red:s=32x32:d=1", "-frames:v", "1", cover)
    for name, (rate, channels, options) in BY_FFMPEG.items():
        noise = 0.1 * np.random.default_rng(len(name)).standard_normal((rate, channels))
        source = folder.parent / "noise.wav"
        soundfile.write(source, noise, rate, "DOUBLE", format="WAVEX" if channels > 2 else "WAV")
        words = ["-i", source]
        if name in WITH_COVER:
            words += ["-i", cover, "-map", "0:a", "-map", "1:v", "-c:v", "copy", "-disposition:v", "attached_pic"]
        words += [part for key, value in TAGS.items() for part in ("-metadata", f"{key}={value}")]
        _ffmpeg(*words, *options, folder / name)
    (folder / "mp3.mp3").rename(folder / "mp3-named.wav")
    made = soundfile.read(folder / "wav16.wav", dtype="int16")[0]
    subprocess.run(["sox", folder / "wav16.wav", "-b", "24", folder / "sox24.wav"], check=True)
    subprocess.run(["sox", folder / "wav16.wav", folder / "sox16.aiff"], check=True)
    soundfile.write(folder / "alac16.caf", made, 44100, "ALAC_16", format="CAF")
    soundfile.write(folder / "sun.au", made, 44100, "PCM_16", format="AU")


def seen(path: Path) -> Seen:
    what = "format=format_name:format_tags:stream=codec_type,codec_name,sample_rate,channels,sample_fmt,"
    what += "bits_per_raw_sample,bits_per_sample:stream_tags:stream_disposition=attached_pic"
    said = _run("ffprobe", "-v", "error", "-show_entries", what, "-of", "json", path)
    found = json.loads(said)
    sound = next(each for each in found["streams"] if each["codec_type"] == "audio")
    tags = {**sound.get("tags", {}), **found["format"].get("tags", {})}
    cover = any(each["codec_type"] == "video" for each in found["streams"])
    container = found["format"]["format_name"].split(",")[0]
    rf64 = path.read_bytes()[:4] == b"RF64"
    return Seen(
        "rf64" if rf64 else container, sound["codec_name"], int(sound["sample_rate"]), _bits(sound),
        sound["channels"], {name.lower(): value for name, value in tags.items()}, cover,
    )  # fmt: skip


def _bits(sound: dict[str, str]) -> str:
    kind = str(sound.get("sample_fmt", ""))
    if str(sound["codec_name"]) in ("mp3", "aac", "vorbis", "opus", "wmav2"):
        return "lossy"
    if kind.startswith(("flt", "dbl")):
        return "float" if kind.startswith("flt") else "double"
    bits = int(sound.get("bits_per_raw_sample") or 0) or int(sound.get("bits_per_sample") or 0)
    return f"{bits or {'u8': 8, 's16': 16}.get(kind.rstrip('p'), 32)} bit"


def samples(path: Path, channels: int) -> np.ndarray:
    return np.frombuffer(_run("ffmpeg", "-v", "error", "-i", path, "-map", "0:a", "-f", "f64le", "-"), "<f8").reshape(
        -1, channels
    )


def changed(source: Path, target: Path, before: Seen, after: Seen) -> str:
    """How many samples outside the gap and its fades differ; of what was lossy, by how much."""
    one, other = samples(source, before.channels), samples(target, after.channels)
    if len(one) != len(other):
        return f"{len(other) - len(one):+d} frames"
    at = np.arange(len(one))
    gap = (at >= round(GAP_S[0] * before.rate) - FADE) & (at < round(GAP_S[1] * before.rate) + FADE)
    difference = np.abs(one - other)[~gap]
    if after.bits == "lossy":
        return "lossy"
    if before.bits == "lossy":
        return f"at most {difference.max() * 2**23:.1f} steps of 24 bits"
    return str(int(np.count_nonzero(difference)))


def rows(folder: Path) -> Iterator[Row]:
    inputs, outputs = folder / "in", folder / "out"
    make(inputs)
    _restorer("inpaint", inputs, *WORDS, "--sidecar", "--out", outputs)
    for source in sorted(inputs.iterdir()):
        facts = _facts(outputs, source)
        target = Path(facts["output"]["path"])
        before, after = seen(source), seen(target)
        yield Row(source.name, before, after, target.name, changed(source, target, before, after))
    source = inputs / "flac16.flac"
    for name in FORMATS:
        target = folder / f"as-{name}.{'wav' if name == 'rf64' else name}"
        _restorer("inpaint", source, *WORDS, "--format", name, "--out", target)
        before, after = seen(source), seen(target)
        yield Row(f"{source.name} --format {name}", before, after, target.name, changed(source, target, before, after))


def _facts(outputs: Path, source: Path) -> dict[str, dict[str, str]]:
    """The sidecar that names this source."""
    for path in outputs.glob("*.restorer.json"):
        facts = json.loads(path.read_text())
        if Path(facts["input"]["path"]) == source:
            return facts
    raise RestorerError(f"nothing became of {source.name}")


def _restorer(*words: object) -> None:
    if code := restorer(list(map(str, words))):
        raise RestorerError(f"restorer {words[0]} ended with {code}")


def _ffmpeg(*words: object) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", *map(str, words)], check=True)


def _run(*words: object) -> bytes:
    return subprocess.run([str(word) for word in words], check=True, capture_output=True).stdout


def table(found: Sequence[Row]) -> str:
    head = "| in | as ffprobe sees it | out | as ffprobe sees it | tags kept | cover | samples changed outside |"
    return "\n".join([head, "| --- | --- | --- | --- | --- | --- | --- |", *map(str, found)])


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", action="store_true", help="write the section of RESULTS.md")
    given = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        text = table(list(rows(Path(folder))))
    print(text)
    if given.results:
        from results import write_section

        from restorer.bench.speed import describe
        from restorer.prior import load_prior

        write_section("Formats", f"{(__doc__ or '').splitlines()[0]}\n\n{text}", describe(load_prior()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
