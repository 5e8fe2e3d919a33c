"""Tags, cover art and WAV's chunks: from any container to any, as mutagen, ffprobe and the bytes themselves show."""

import json
import shutil
import struct
import subprocess

import mutagen
import numpy as np
import pytest
import soundfile
from mutagen.apev2 import APEv2
from mutagen.flac import FLAC, Picture
from mutagen.id3 import APIC, COMM, ID3, RVA2, TALB, TCON, TDRC, TIT2, TPE1, TRCK, TXXX
from mutagen.mp3 import MP3

from restorer.audio import AudioFormat, open_writer, probe
from restorer.audio.chunks import append_chunks, read_chunks
from restorer.audio.metadata import read_metadata

needs_ffmpeg = pytest.mark.skipif(not (shutil.which("ffmpeg") and shutil.which("ffprobe")), reason="ffmpeg is not here")
TEXTS = {
    "title": "Träumerei", "artist": "C. Haskil", "album": "Kinderszenen", "date": "1955", "tracknumber": "7",
    "tracktotal": "13", "genre": "Romantic", "comment": "from shellac", "composer": "R. Schumann", "matrix": "N 4-1",
}  # fmt: skip
GAINS = {"replaygain_track_gain": "-7.0 dB", "REPLAYGAIN_ALBUM_PEAK": "0.9", "R128_TRACK_GAIN": "-500"}
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40
SOUND = 0.1 * np.random.default_rng(0).standard_normal((4800, 2))
TARGETS = {
    "FLAC": ("FLAC", "PCM_16"), "OGG": ("OGG", "VORBIS"), "OPUS": ("OGG", "OPUS"), "MP3": ("MP3", "MPEG_LAYER_III"),
    "AIFF": ("AIFF", "PCM_16"), "WAV": ("WAV", "PCM_16"), "RF64": ("RF64", "PCM_16"),
}  # fmt: skip


def form_of(name):
    return AudioFormat(*TARGETS[name], 48000, 2)


def carried(source, target, form, **options):
    """Writes other sound to `target` with the metadata of `source`; returns what was said."""
    info = probe(source)
    metadata = read_metadata(source, info.format, info.tags)
    tags = {} if metadata.replaces_strings(form) else info.tags
    with open_writer(target, form, tags=tags, metadata=metadata, **options) as writer:
        writer.write(SOUND)
    return writer.notes


def picture():
    made = Picture()
    made.data, made.mime, made.type, made.desc = PNG, "image/png", 3, "front"
    return made


@pytest.fixture
def flac(tmp_path):
    path = tmp_path / "in.flac"
    soundfile.write(path, SOUND, 48000, "PCM_16")
    file = FLAC(path)
    file.update({**TEXTS, **GAINS})
    file["performer"] = ["one", "two"]
    file.add_picture(picture())
    file.save()
    return path


@pytest.fixture
def mp3(tmp_path):
    path = tmp_path / "in.mp3"
    soundfile.write(path, SOUND, 48000, format="MP3")
    tags = ID3()
    for frame in (
        TIT2(text=TEXTS["title"]), TPE1(text=TEXTS["artist"]), TALB(text=TEXTS["album"]), TDRC(text="1955"),
        TRCK(text="7/13"), TCON(text="Romantic"), COMM(lang="eng", desc="", text="from shellac"),
        TXXX(desc="matrix", text="N 4-1"), TXXX(desc="replaygain_track_gain", text="-7 dB"),
        COMM(lang="eng", desc="iTunNORM", text=" 000"), RVA2(desc="track", channel=1, gain=-3, peak=0.5),
        APIC(mime="image/png", type=3, desc="front", data=PNG),
    ):  # fmt: skip
        frame.encoding = 3
        tags.add(frame)
    tags.save(path)
    return path


def texts_and_cover(path):
    """As mutagen reads a file: texts by lower-case name, and the cover."""
    info = probe(path)
    found = read_metadata(path, info.format, {})
    texts = {}
    for name, value in found.tags.texts:
        texts.setdefault(name.lower(), []).append(value)
    return texts, [each.data for each in found.tags.pictures]


@pytest.mark.parametrize("target", TARGETS)
def test_from_flac_to_every_container(tmp_path, flac, target):
    assert carried(flac, tmp_path / "out", form_of(target)) == ()
    texts, covers = texts_and_cover(tmp_path / "out")
    assert {name: texts.get(name) for name in TEXTS} == {name: [value] for name, value in TEXTS.items()}
    assert texts["performer"] == ["one", "two"]
    assert covers == [PNG]
    assert not [name for name in texts if "gain" in name or "r128" in name]


@pytest.mark.parametrize("target", TARGETS)
def test_from_mp3_to_every_container(tmp_path, mp3, target):
    assert carried(mp3, tmp_path / "out", form_of(target)) == ()
    texts, covers = texts_and_cover(tmp_path / "out")
    kept = {name: value for name, value in TEXTS.items() if name != "composer"}
    assert {name: texts.get(name) for name in kept} == {name: [value] for name, value in kept.items()}
    assert covers == [PNG]
    assert not [name for name in texts if "gain" in name or "itun" in name]


@pytest.mark.parametrize("name", ["Übertragung", "a=b", "~"])
@pytest.mark.parametrize("kind", [COMM, TXXX])
@pytest.mark.parametrize("target", ["FLAC", "OGG", "OPUS"])
def test_an_odd_name_costs_no_tags(tmp_path, mp3, name, kind, target):
    tags = ID3(mp3)
    tags.add(kind(encoding=3, lang="eng", desc=name, text="odd") if kind is COMM else kind(3, name, "odd"))
    tags.save(mp3)
    assert carried(mp3, tmp_path / "out", form_of(target)) == ()
    texts, _ = texts_and_cover(tmp_path / "out")
    assert texts["title"] == [TEXTS["title"]]
    assert ["odd"] in texts.values()


@needs_ffmpeg
def test_an_odd_key_of_ape_costs_no_tags(tmp_path, flac):
    words = ["ffmpeg", "-v", "error", "-i", flac, "-map", "0:a", tmp_path / "a.wv"]
    subprocess.run(words, check=True)
    tags = APEv2(tmp_path / "a.wv")
    tags["a=b"] = "odd"
    tags.save(tmp_path / "a.wv")
    assert carried(tmp_path / "a.wv", tmp_path / "out.flac", form_of("FLAC")) == ()
    assert FLAC(tmp_path / "out.flac").tags["title"] == [TEXTS["title"]]


def test_frames_stay_frames(tmp_path, mp3):
    carried(mp3, tmp_path / "out.mp3", form_of("MP3"))
    before, after = MP3(mp3).tags, MP3(tmp_path / "out.mp3").tags
    assert set(before) - set(after) == {"RVA2:track", "TXXX:replaygain_track_gain", "COMM:iTunNORM:eng"}
    assert all(after[key] == before[key] for key in after if key in before)


@needs_ffmpeg
@pytest.mark.parametrize("name", ["a.m4a", "a.wma", "a.wv", "a.mka", "a.ogg"])
def test_from_what_ffmpeg_made(tmp_path, flac, name):
    words = ["ffmpeg", "-v", "error", "-i", flac, "-map", "0:a", tmp_path / name]
    subprocess.run(words, check=True)
    carried(tmp_path / name, tmp_path / "out.flac", form_of("FLAC"))
    tags = FLAC(tmp_path / "out.flac").tags
    expected = {key: TEXTS[key] for key in ("title", "artist", "album", "date", "tracknumber", "genre")}
    assert {key: tags.get(key, [""])[0].partition("/")[0] for key in expected} == expected


@needs_ffmpeg
@pytest.mark.parametrize("target", ["FLAC", "WAV", "AIFF", "MP3", "OGG"])
def test_ffprobe_sees_tags_and_cover(tmp_path, flac, target):
    carried(flac, tmp_path / "out", form_of(target))
    words = ["ffprobe", "-v", "error", "-show_entries", "format_tags:stream_tags:stream=codec_type", "-of", "json"]
    found = json.loads(subprocess.run([*words, tmp_path / "out"], check=True, capture_output=True).stdout)
    sound = [stream for stream in found["streams"] if stream["codec_type"] == "audio"]  # a cover has a title, too
    tags = {key.lower(): text for each in (*sound, found["format"]) for key, text in each.get("tags", {}).items()}
    assert (tags["title"], tags["artist"], tags["album"]) == (TEXTS["title"], TEXTS["artist"], TEXTS["album"])
    assert "video" in [stream["codec_type"] for stream in found["streams"]]


# Chunks


def chunk(name, body):
    return name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


BEXT = b"Tape 7, side A".ljust(338, b"\0") + struct.pack("<Q", 96000) + bytes(256) + b"A=ANALOGUE\r\n"
CHUNKS = [
    (b"bext", BEXT), (b"iXML", b"<BWFXML><TAPE>7</TAPE></BWFXML>"), (b"cue ", struct.pack("<I", 1) + bytes(24)),
    (b"LIST", b"adtl" + chunk(b"labl", struct.pack("<I", 1) + b"start\0")), (b"LIST", b"INFO" + chunk(b"INAM", b"T\0")),
    (b"axml", b"<ebucore/>"),
]  # fmt: skip


@pytest.fixture
def bwf(tmp_path):
    """A WAV with chunks before and after its sound, as recorders and editors leave it."""
    path = tmp_path / "in.wav"
    soundfile.write(path, SOUND, 48000, "PCM_24")
    body = path.read_bytes()[12:]
    whole = b"WAVE" + b"".join(chunk(*each) for each in CHUNKS[:2]) + body
    whole += b"".join(chunk(*each) for each in CHUNKS[2:])
    path.write_bytes(b"RIFF" + struct.pack("<I", len(whole)) + whole)
    return path


@pytest.mark.parametrize("container", ["WAV", "RF64", "WAVEX"])
def test_chunks_are_kept_from_wav_to_wav(tmp_path, bwf, container):
    target = tmp_path / "out.wav"
    assert carried(bwf, target, AudioFormat(container, "PCM_24", 48000, 2)) == ()
    assert list(read_chunks(target).kept) == CHUNKS
    assert np.array_equal(soundfile.read(target)[0], np.rint(SOUND * 2**23) / 2**23)
    raw = target.read_bytes()
    size = struct.unpack("<Q", raw[20:28])[0] if container == "RF64" else struct.unpack("<I", raw[4:8])[0]
    assert size == len(raw) - 8
    assert raw.count(b"INFO") == 1


@needs_ffmpeg
def test_ffprobe_sees_the_broadcast_extension(tmp_path, bwf):
    carried(bwf, tmp_path / "out.wav", AudioFormat("WAV", "PCM_24", 48000, 2))
    words = ["ffprobe", "-v", "error", "-show_entries", "format_tags", "-of", "json", tmp_path / "out.wav"]
    tags = json.loads(subprocess.run(words, check=True, capture_output=True).stdout)["format"]["tags"]
    assert (tags["comment"], tags["time_reference"], tags["title"]) == ("Tape 7, side A", "96000", "T")


def test_at_another_rate_times_are_counted_anew_or_left_out(tmp_path, bwf):
    notes = carried(bwf, tmp_path / "out.wav", AudioFormat("WAV", "PCM_24", 96000, 2))
    assert notes == ("cue, adtl belong to the old sample rate and were left out",)
    kept = dict(read_chunks(tmp_path / "out.wav").kept)
    assert struct.unpack("<Q", kept[b"bext"][338:346])[0] == 192000
    assert kept[b"iXML"] == dict(CHUNKS)[b"iXML"]


def test_what_a_container_has_no_place_for_is_said(tmp_path, bwf, flac):
    assert carried(bwf, tmp_path / "out.flac", form_of("FLAC")) == (
        "FLAC has no place for the chunks bext, iXML, cue, adtl, axml; WAV keeps them",
    )
    assert FLAC(tmp_path / "out.flac").tags["title"] == ["T"]
    assert carried(flac, tmp_path / "out.caf", AudioFormat("CAF", "PCM_16", 48000, 2)) == (
        "CAF has no place for cover art; FLAC and WAV keep it",
    )


def test_loudspeakers_stay_where_they_are(tmp_path):
    soundfile.write(tmp_path / "in.wav", SOUND[:, [0, 1, 0, 1]], 48000, "PCM_16", format="WAVEX")
    raw = bytearray((tmp_path / "in.wav").read_bytes())
    raw[40:44] = struct.pack("<I", 0x107)  # left, right, centre, back centre
    (tmp_path / "in.wav").write_bytes(raw)
    info = probe(tmp_path / "in.wav")
    with open_writer(
        tmp_path / "out.wav", info.format, metadata=read_metadata(tmp_path / "in.wav", info.format, info.tags)
    ) as writer:
        writer.write(SOUND[:, [0, 1, 0, 1]])
    assert read_chunks(tmp_path / "out.wav").layout.speakers == 0x107


@pytest.mark.parametrize(
    ("subtype", "valid", "becomes", "kept"),
    [
        ("PCM_32", 24, "PCM_32", 24), ("PCM_24", 20, "PCM_24", 20), ("PCM_32", 24, "PCM_24", 24),
        ("PCM_24", 20, "PCM_32", 32), ("PCM_32", 24, "FLOAT", 32),
    ],
)  # fmt: skip
def test_as_many_bits_stay_valid_where_samples_are_stored_as_they_were(tmp_path, subtype, valid, becomes, kept):
    soundfile.write(tmp_path / "in.wav", SOUND, 48000, subtype, format="WAVEX")
    raw = bytearray((tmp_path / "in.wav").read_bytes())
    raw[38:40] = struct.pack("<H", valid)
    (tmp_path / "in.wav").write_bytes(raw)
    carried(tmp_path / "in.wav", tmp_path / "out.wav", AudioFormat("WAVEX", becomes, 48000, 2))
    assert struct.unpack_from("<H", (tmp_path / "out.wav").read_bytes(), 38) == (kept,)
    assert soundfile.info(tmp_path / "out.wav").frames == len(SOUND)


@pytest.mark.parametrize("damage", [b"bext\xff\xff\xff\x7f", b"", b"\xff" * 8, b"LIST\4\0\0\0"])
def test_a_damaged_end_costs_nothing(tmp_path, bwf, damage):
    bwf.write_bytes(bwf.read_bytes() + damage)
    carried(bwf, tmp_path / "out.wav", AudioFormat("WAV", "PCM_24", 48000, 2))
    assert list(read_chunks(tmp_path / "out.wav").kept)[:6] == CHUNKS


def test_sound_of_unknown_length_is_not_taken_for_chunks(tmp_path, bwf):
    raw = bytearray(bwf.read_bytes())
    at = raw.index(b"data") + 8
    raw[4:8] = raw[at - 4 : at] = bytes(4)
    raw[at : at + 1000] = bytes(1000)
    bwf.write_bytes(raw)
    assert list(read_chunks(bwf).kept) == CHUNKS[:2]


def test_zeros_are_not_taken_for_chunks_without_end(bwf):
    bwf.write_bytes(bwf.read_bytes() + bytes(1 << 20))
    assert list(read_chunks(bwf).kept)[:6] == CHUNKS
    assert len(read_chunks(bwf).kept) < 5000


def test_a_damaged_id3_costs_no_chunks(tmp_path, bwf):
    bwf.write_bytes(bwf.read_bytes() + chunk(b"id3 ", b"ID3\4\0\0\0\0\0\xff" + bytes(4)))
    notes = carried(bwf, tmp_path / "out.wav", AudioFormat("WAV", "PCM_24", 48000, 2))
    assert [note.startswith("its tags could not be read") for note in notes] == [True]
    assert list(read_chunks(tmp_path / "out.wav").kept) == CHUNKS
    assert read_chunks(tmp_path / "out.wav").id3 == b""


def test_no_riff_has_no_chunks(flac):
    assert read_chunks(flac).kept == ()


# Failures


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), mutagen.MutagenError("odd"), KeyError("x")])
def test_a_failure_in_tagging_never_costs_the_sound(tmp_path, flac, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(FLAC, "save", fail)
    notes = carried(flac, tmp_path / "new" / "out.flac", form_of("FLAC"))
    assert len(notes) == 1
    assert "tags could not be written" in notes[0]
    assert notes[0].endswith("the sound is complete")
    assert np.array_equal(soundfile.read(tmp_path / "new" / "out.flac")[0], np.rint(SOUND * 32768) / 32768)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out.flac"]


def test_a_failure_in_reading_tags_is_said(tmp_path, flac):
    info = probe(flac)
    raw = flac.read_bytes()
    flac.write_bytes(raw[:4] + b"\x84\0\0\4\xff\xff\xff\xff" + raw[100:])  # one comment block of nonsense
    metadata = read_metadata(flac, info.format, info.tags)
    assert metadata.notes[0].startswith("its tags could not be read")


def test_no_4_gib_of_chunks(tmp_path, bwf, monkeypatch):
    monkeypatch.setattr("restorer.audio.chunks._LARGEST_RIFF", bwf.stat().st_size)
    with pytest.raises(OSError, match="4 GiB"):
        append_chunks(bwf, read_chunks(bwf))
