"""From one sound file to another: tags, cover art and WAV's chunks, as far as the other container holds them."""

import base64
import io
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mutagen
from mutagen.aiff import AIFF
from mutagen.asf import ASF
from mutagen.flac import FLAC
from mutagen.id3 import ID3
from mutagen.mp3 import MP3
from mutagen.mp4 import MP4
from mutagen.oggopus import OggOpus
from mutagen.oggvorbis import OggVorbis

from restorer.audio.chunks import RiffChunks, append_chunks, read_chunks
from restorer.audio.format import AudioFormat, Tags
from restorer.audio.tags import TagSet, tag_set, to_id3

_RIFF = ("WAV", "WAVEX", "RF64")
_READERS: Mapping[str, Callable[[Path], Any]] = {
    "FLAC": FLAC, "MP3": MP3, "AIFF": AIFF, "MOV": MP4, "ASF": ASF, "VORBIS": OggVorbis, "OPUS": OggOpus,
}  # fmt: skip
# mutagen raises its own errors, and whatever Python does on a file that is damaged in a way it did not foresee.
_Failures = (mutagen.MutagenError, OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, EOFError)


@dataclass(frozen=True)
class Metadata:
    """What is to be carried; notes: what could not be read of it."""

    tags: TagSet
    chunks: RiffChunks
    cuesheet: Any = None
    sample_rate: int = 0
    is_riff: bool = False
    notes: tuple[str, ...] = ()

    def attach(self, file: Path, form: AudioFormat) -> tuple[str, ...]:
        """Puts it into a complete sound file; returns what was lost, in lines for the user. Raises nothing of its own.

        It is put into a copy, which replaces the file only if all went well: a failure never costs the sound.
        """
        lost = (*self.notes, *self._unheld(form))
        if self._is_empty(form):
            return lost
        copy = file.with_name(f"{file.name.removesuffix('.partial')}.tagging.partial")
        try:
            shutil.copyfile(file, copy)
            self._write(copy, form)
            os.replace(copy, file)
        except _Failures as error:
            return (*lost, f"its tags could not be written ({_reason(error)}); the sound is complete")
        finally:
            with suppress(OSError):
                copy.unlink(missing_ok=True)
        return lost

    def replaces_strings(self, form: AudioFormat) -> bool:
        """Whether libsndfile's own strings would stand there twice."""
        return form.container in _RIFF and any(name == "INFO" for name in self.chunks.names)

    def _is_empty(self, form: AudioFormat) -> bool:
        nothing = not self.tags.texts and not self.tags.pictures and self.tags.id3 is None and self.cuesheet is None
        return nothing and (form.container not in _RIFF or self.chunks == RiffChunks())

    def _unheld(self, form: AudioFormat) -> list[str]:
        lost = []
        names = dict.fromkeys(name for name in self.chunks.names if name not in ("INFO",))
        if names and form.container not in _RIFF:
            lost.append(f"{form.container} has no place for the chunks {', '.join(names)}; WAV keeps them")
        elif names and self.sample_rate != form.sample_rate:
            left = set(self.chunks.at_rate(self.sample_rate, form.sample_rate).names)
            gone = [name for name in names if name not in left]
            lost += [f"{', '.join(gone)} belong to the old sample rate and were left out"] if gone else []
        if self.tags.pictures and not _holds_pictures(form):
            lost.append(f"{form.container} has no place for cover art; FLAC and WAV keep it")
        return lost

    def _write(self, file: Path, form: AudioFormat) -> None:
        if form.container in _RIFF:
            chunks = self.chunks.at_rate(self.sample_rate, form.sample_rate)
            # The texts of a WAV without ID3 are in its LIST, which is among the chunks.
            frames = ID3() if self.is_riff and self.tags.id3 is None else to_id3(self.tags)
            append_chunks(file, replace(chunks, id3=_id3_bytes(frames)))
        elif form.container == "FLAC":
            self._write_flac(file, form)
        elif form.container == "OGG" and form.subtype in ("VORBIS", "OPUS"):
            stored = _READERS[form.subtype](file)
            stored.tags.clear()
            stored.tags.extend(self.tags.texts)
            covers = (base64.b64encode(each.write()).decode() for each in self.tags.pictures)
            stored.tags.extend(("METADATA_BLOCK_PICTURE", cover) for cover in covers)
            stored.save()
        elif form.container in ("MP3", "AIFF"):
            frames = to_id3(self.tags)
            frames.save(file, v2_version=4) if form.container == "MP3" else _save_aiff(file, frames)

    def _write_flac(self, file: Path, form: AudioFormat) -> None:
        stored = FLAC(file)
        if stored.tags is None:
            stored.add_tags()
        stored.tags.clear()
        stored.tags.extend(self.tags.texts)
        for each in self.tags.pictures:
            stored.add_picture(each)
        if self.cuesheet is not None and self.sample_rate == form.sample_rate:
            stored.cuesheet = self.cuesheet
            stored.metadata_blocks.append(self.cuesheet)
        stored.save()


NO_METADATA = Metadata(TagSet(), RiffChunks())


def read_metadata(path: Path, form: AudioFormat, known: Tags) -> Metadata:
    """Of a file of this format; known: what its reader found, which counts where mutagen finds nothing."""
    chunks, found, cuesheet = RiffChunks(), TagSet(), None
    notes: tuple[str, ...] = ()
    try:
        if form.container not in _RIFF:
            found, cuesheet = _found(path, form)
        else:
            chunks = read_chunks(path)  # which are kept even where the ID3 among them is damaged
            found = tag_set(ID3(io.BytesIO(chunks.id3))) if chunks.id3 else found
    except _Failures as error:
        notes = (f"its tags could not be read ({_reason(error)})",)
    missing = tuple((name.upper(), value) for name, value in known.items() if name.upper() not in found.names)
    missing = tuple(pair for pair in missing if pair[0] != "SOFTWARE")
    if missing and found.id3 is None:
        found = replace(found, texts=(*found.texts, *missing))
    return Metadata(found, chunks, cuesheet, form.sample_rate, form.container in _RIFF, notes)


def _found(path: Path, form: AudioFormat) -> tuple[TagSet, Any]:
    read = _READERS.get(form.subtype) or _READERS.get(form.container) or mutagen.File
    file = read(path)
    if file is None:
        return TagSet(), None
    pictures = getattr(file, "pictures", ())
    return tag_set(file.tags, pictures), getattr(file, "cuesheet", None)


def _id3_bytes(frames: ID3) -> bytes:
    if not frames:
        return b""
    held = io.BytesIO()
    frames.save(held, v1=0, padding=lambda info: 0)
    return held.getvalue()


def _save_aiff(file: Path, frames: ID3) -> None:
    stored = AIFF(file)
    if stored.tags is None:
        stored.add_tags()
    stored.tags.clear()
    for frame in frames.values():
        stored.tags.add(frame)
    stored.save()


def _holds_pictures(form: AudioFormat) -> bool:
    return form.container in (*_RIFF, "FLAC", "OGG", "MP3", "AIFF")


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).strip() or type(error).__name__
