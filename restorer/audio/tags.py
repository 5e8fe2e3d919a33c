"""Tags and cover art of every kind of file as one set: Vorbis comment names, pictures; and how each kind spells them.

Names after the Vorbis comment recommendation and, where it has none, after MusicBrainz Picard's table of mappings.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from mutagen.apev2 import APEv2
from mutagen.asf import ASFTags
from mutagen.flac import Picture
from mutagen.flac import error as FlacError  # noqa: N812
from mutagen.id3 import APIC, COMM, ID3, TXXX, UFID, USLT, Frames
from mutagen.mp4 import MP4Cover, MP4Tags

Text = tuple[str, str]
"""(name, value)."""

_ID3 = {
    "TIT2": "TITLE", "TPE1": "ARTIST", "TALB": "ALBUM", "TPE2": "ALBUMARTIST", "TPE3": "CONDUCTOR", "TPE4": "REMIXER",
    "TCOM": "COMPOSER", "TEXT": "LYRICIST", "TDRC": "DATE", "TDOR": "ORIGINALDATE", "TCON": "GENRE",
    "TCOP": "COPYRIGHT", "TENC": "ENCODEDBY", "TBPM": "BPM", "TKEY": "INITIALKEY", "TLAN": "LANGUAGE", "TMOO": "MOOD",
    "TPUB": "ORGANIZATION", "TSRC": "ISRC", "TIT1": "GROUPING", "TIT3": "SUBTITLE", "TSST": "DISCSUBTITLE",
    "TSOP": "ARTISTSORT", "TSOA": "ALBUMSORT", "TSOT": "TITLESORT", "TSO2": "ALBUMARTISTSORT", "TSOC": "COMPOSERSORT",
    "TMED": "MEDIA", "TCMP": "COMPILATION",
}  # fmt: skip
_MP4 = {
    "\xa9nam": "TITLE", "\xa9ART": "ARTIST", "\xa9alb": "ALBUM", "aART": "ALBUMARTIST", "\xa9wrt": "COMPOSER",
    "\xa9day": "DATE", "\xa9gen": "GENRE", "\xa9cmt": "COMMENT", "cprt": "COPYRIGHT", "\xa9lyr": "LYRICS",
    "\xa9grp": "GROUPING", "tmpo": "BPM", "desc": "DESCRIPTION", "soar": "ARTISTSORT", "soal": "ALBUMSORT",
    "sonm": "TITLESORT", "soaa": "ALBUMARTISTSORT", "soco": "COMPOSERSORT",
}  # fmt: skip
_ASF = {
    "Title": "TITLE", "Author": "ARTIST", "WM/AlbumTitle": "ALBUM", "WM/AlbumArtist": "ALBUMARTIST", "WM/Year": "DATE",
    "WM/TrackNumber": "TRACKNUMBER", "WM/PartOfSet": "DISCNUMBER", "WM/Genre": "GENRE", "WM/Composer": "COMPOSER",
    "WM/Conductor": "CONDUCTOR", "WM/Publisher": "ORGANIZATION", "WM/ISRC": "ISRC", "Description": "COMMENT",
    "Copyright": "COPYRIGHT", "WM/Lyrics": "LYRICS", "date": "DATE",
}  # fmt: skip
_APE = {"YEAR": "DATE", "TRACK": "TRACKNUMBER", "DISC": "DISCNUMBER", "ALBUM ARTIST": "ALBUMARTIST"}
_COUNTED = {"TRACKNUMBER": "TRACKTOTAL", "DISCNUMBER": "DISCTOTAL"}
_COUNTED_ID3 = {"TRCK": "TRACKNUMBER", "TPOS": "DISCNUMBER"}

# Loudness that was measured before the restoration, and what a lossy encoder noted about its own file.
_STALE = re.compile(r"replaygain_.*|r128_.*|mp3gain_.*|itunnorm|itunsmpb|encoder|accurateripresult", re.IGNORECASE)
_STALE_FRAMES = ("RVA2", "RVAD", "RGAD", "XRVA", "TSSE", "TLEN", "MCDI", "SEEK", "ASPI")
_PICTURE_NAMES = ("metadata_block_picture", "coverart", "coverartmime")


@dataclass(frozen=True)
class TagSet:
    """texts in their order, a name as often as it has values; id3: a source's frames as they are."""

    texts: tuple[Text, ...] = ()
    pictures: tuple[Picture, ...] = ()
    id3: ID3 | None = None

    @property
    def names(self) -> set[str]:
        return {name.upper() for name, _ in self.texts}


def tag_set(tags: Any, pictures: Iterable[Picture] = ()) -> TagSet:
    """The tags that mutagen found, but for what no longer holds after a restoration."""
    if isinstance(tags, ID3):
        return TagSet(_fresh(_id3_texts(tags)), tuple(_id3_pictures(tags)), _fresh_id3(tags))
    if isinstance(tags, MP4Tags):
        return TagSet(_fresh(_mp4_texts(tags)), tuple(_picture(bytes(each), _mp4_mime(each)) for each in
                                                      tags.get("covr", ())))  # fmt: skip
    if isinstance(tags, ASFTags):
        return TagSet(_fresh(_asf_texts(tags)))
    if isinstance(tags, APEv2):
        return TagSet(_fresh(_ape_texts(tags)), tuple(_ape_pictures(tags)))
    if tags is None:
        return TagSet((), tuple(pictures))
    kept = [(name, value) for name, value in tags if name.lower() not in _PICTURE_NAMES]
    return TagSet(_fresh(kept), (*pictures, *_ogg_pictures(tags)))


def to_id3(tags: TagSet) -> ID3:
    """The frames of a file that had such; else frames for the texts and pictures."""
    if tags.id3 is not None:
        return tags.id3
    frames = ID3()
    by_name = {name: frame for frame, name in _ID3.items()}
    values: dict[str, list[str]] = {}
    for name, value in tags.texts:
        values.setdefault(name.upper(), []).append(value)
    for frame, name in _COUNTED_ID3.items():
        total = values.pop(_COUNTED[name], [""])[0]
        if number := values.pop(name, [""])[0]:
            frames.add(Frames[frame](encoding=3, text=[f"{number}/{total}" if total else number]))
    for name, texts in values.items():
        if name == "COMMENT":
            frames.add(COMM(encoding=3, lang="XXX", desc="", text=texts))
        elif name == "LYRICS":
            frames.add(USLT(encoding=3, lang="XXX", desc="", text="\n".join(texts)))
        elif name in by_name:
            frames.add(Frames[by_name[name]](encoding=3, text=texts))
        else:
            frames.add(TXXX(encoding=3, desc=name, text=texts))
    for i, each in enumerate(tags.pictures):
        text = each.desc or (str(i) if i else "")  # two pictures of the same kind and name would be one
        frames.add(APIC(encoding=3, mime=each.mime, type=each.type, desc=text, data=each.data))
    return frames


def _fresh(texts: Iterable[Text]) -> tuple[Text, ...]:
    fresh = ((name, value) for name, value in texts if value and not _STALE.fullmatch(name))
    return tuple(dict.fromkeys(fresh))


def _fresh_id3(tags: ID3) -> ID3:
    frames = ID3()
    for frame in tags.values():
        named = str(getattr(frame, "desc", ""))
        if frame.FrameID not in _STALE_FRAMES and not _STALE.fullmatch(named):
            frames.add(frame)
    return frames


def _id3_texts(tags: ID3) -> Iterator[Text]:
    for frame in tags.values():
        kind = frame.FrameID
        if kind in _COUNTED_ID3:
            yield from _counted(_COUNTED_ID3[kind], str(frame.text[0]) if frame.text else "")
        elif kind == "TCON":
            yield from (("GENRE", genre) for genre in frame.genres)
        elif kind in _ID3:
            yield from ((_ID3[kind], str(text)) for text in frame.text)
        elif isinstance(frame, COMM):
            yield from ((_comment_name(frame.desc), str(text)) for text in frame.text)
        elif isinstance(frame, USLT):
            yield "LYRICS", str(frame.text)
        elif isinstance(frame, TXXX):
            yield from ((_comment_name(frame.desc), str(text)) for text in frame.text)
        elif isinstance(frame, UFID) and frame.owner == "http://musicbrainz.org":
            yield "MUSICBRAINZ_TRACKID", frame.data.decode("ascii", "replace")


def _id3_pictures(tags: ID3) -> Iterator[Picture]:
    for frame in tags.getall("APIC"):
        yield _picture(frame.data, frame.mime, int(frame.type), frame.desc)


def _mp4_texts(tags: MP4Tags) -> Iterator[Text]:
    for key, values in tags.items():
        if key in ("trkn", "disk") and values:
            number, total = values[0]
            name = "TRACKNUMBER" if key == "trkn" else "DISCNUMBER"
            yield from _counted(name, f"{number}/{total}" if total else str(number))
        elif key == "cpil":
            yield "COMPILATION", str(int(values))
        elif key in _MP4:
            yield from ((_MP4[key], str(value)) for value in values)
        elif key.startswith("----:"):
            name = _comment_name(key.rpartition(":")[2])
            yield from ((name, bytes(value).decode(errors="replace")) for value in values)


def _asf_texts(tags: ASFTags) -> Iterator[Text]:
    for key, value in tags:
        if key in _ASF:
            yield from _counted(_ASF[key], str(value))


def _ape_texts(tags: APEv2) -> Iterator[Text]:
    for key, value in tags.items():
        name = _APE.get(key.upper(), _comment_name(key))
        if value.kind == 0:  # text
            yield from (pair for each in value for pair in _counted(name, str(each)))


def _ape_pictures(tags: APEv2) -> Iterator[Picture]:
    for key, value in tags.items():
        if key.lower().startswith("cover art") and value.kind == 1:  # a file's name, a zero, the file
            _, _, data = bytes(value.value).partition(b"\0")
            yield _picture(data, "image/png" if data.startswith(b"\x89PNG") else "image/jpeg")


def _ogg_pictures(tags: Any) -> Iterator[Picture]:
    for name, value in tags:
        if name.lower() == "metadata_block_picture":
            with suppress(binascii.Error, ValueError, FlacError):
                yield Picture(base64.b64decode(value))


def _counted(name: str, value: str) -> Iterator[Text]:
    """3/12 is two names of a Vorbis comment."""
    number, slash, total = value.partition("/") if name in _COUNTED else (value, "", "")
    if number and not (name in _COUNTED and number == "0"):
        yield name, number
    if slash and total:
        yield _COUNTED[name], total


def _comment_name(name: str) -> str:
    """Vorbis comments allow printable ASCII without `=`."""
    return "".join(each if " " <= each <= "}" and each != "=" else "_" for each in name).upper() or "COMMENT"


def _mp4_mime(cover: MP4Cover) -> str:
    return "image/png" if cover.imageformat == MP4Cover.FORMAT_PNG else "image/jpeg"


def _picture(data: bytes, mime: str, kind: int = 3, text: str = "") -> Picture:
    """3 is the front cover."""
    picture = Picture()
    picture.data, picture.mime, picture.type, picture.desc = data, mime, kind, text
    return picture
