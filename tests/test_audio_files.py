"""Sound files: what is read is written back bit for bit, whole or not at all; what cannot be read says so."""

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from restorer.audio import AudioFormat, open_reader, open_writer, output_format, probe
from restorer.audio.chunks import RiffChunks, append_chunks, read_chunks
from restorer.audio.ffmpeg import FfmpegReader
from restorer.errors import AudioError, UsageError

needs_ffmpeg = pytest.mark.skipif(not (shutil.which("ffmpeg") and shutil.which("ffprobe")), reason="ffmpeg is not here")
TAGS = {"title": "Träumerei", "artist": "C. Haskil", "album": "Kinderszenen", "date": "1955"}
LOSSLESS = [
    ("WAV", "PCM_U8"), ("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAV", "PCM_32"), ("WAV", "FLOAT"), ("WAV", "DOUBLE"),
    ("WAVEX", "PCM_24"), ("W64", "PCM_24"), ("W64", "FLOAT"), ("RF64", "PCM_16"), ("RF64", "PCM_32"),
    ("AIFF", "PCM_S8"), ("AIFF", "PCM_16"), ("AIFF", "PCM_24"), ("AIFF", "FLOAT"), ("CAF", "PCM_16"), ("CAF", "PCM_32"),
    ("CAF", "ALAC_16"), ("FLAC", "PCM_S8"), ("FLAC", "PCM_16"), ("FLAC", "PCM_24"), ("AU", "PCM_16"),
]  # fmt: skip


def every_step(form, frames=5000):
    """Samples on the steps of the format, its two ends among them, as int32 or as the format's floats."""
    rng = np.random.default_rng(7)
    if not form.is_integer:
        return rng.standard_normal((frames, form.channels)).astype("f4" if form.subtype == "FLOAT" else "f8") * 3
    bits = form.bits
    steps = rng.integers(-(2 ** (bits - 1)), 2 ** (bits - 1), (frames, form.channels))
    steps[:2, 0] = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    return (steps << (32 - bits)).astype(np.int32)


def everything(reader, size=1000):
    blocks = []
    while len(block := reader.read(size)):
        blocks.append(block)
    return np.concatenate(blocks) if blocks else np.zeros((0, reader.format.channels))


def whole(path, size=1000):
    with open_reader(path) as reader:
        return everything(reader, size)


def store(path, form, samples, **options):
    with open_writer(path, form, **options) as writer:
        writer.write(samples)
    return writer


def convert(source, target, *options):
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", source, *options, target], check=True)
    return target


@pytest.fixture
def take(tmp_path):
    """Three seconds of stereo noise, PCM_16, and where they are."""
    path = tmp_path / "take.wav"
    samples = np.random.default_rng(1).integers(-9000, 9000, (3 * 44100, 2)).astype(np.int16)
    soundfile.write(path, samples, 44100, "PCM_16")
    return path


@pytest.mark.parametrize(("container", "subtype"), LOSSLESS)
@pytest.mark.parametrize("channels", [1, 2])
def test_read_and_written_back_is_bit_identical(tmp_path, container, subtype, channels):
    form = AudioFormat(container, subtype, 44100, channels)
    source, target = tmp_path / "source", tmp_path / "target"
    original = every_step(form)
    soundfile.write(source, original, 44100, subtype, format=container)
    with open_reader(source) as reader, open_writer(target, output_format(reader.format)) as writer:
        while len(block := reader.read(777)):
            writer.write(block)
    assert writer.clipped == 0
    kept, _ = soundfile.read(target, dtype=original.dtype.name, always_2d=True)
    assert np.array_equal(kept, original)
    assert probe(target).format == form
    assert probe(target).frames == 5000
    if container in ("WAV", "W64", "AU"):  # nothing else is in these files but the samples
        assert target.read_bytes() == source.read_bytes() or subtype in ("FLOAT", "DOUBLE")  # those have a time stamp


@needs_ffmpeg
@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("a.mp3", [], ("MP3", "MPEG_LAYER_III")), ("a.ogg", ["-c:a", "libvorbis"], ("OGG", "VORBIS")),
        ("a.opus", ["-ar", "48000"], ("OGG", "OPUS")), ("a.m4a", ["-c:a", "aac"], ("MOV", "AAC")),
        ("b.m4a", ["-c:a", "alac"], ("MOV", "PCM_16")), 
        ("c.m4a", ["-c:a", "alac", "-sample_fmt", "s32p"], ("MOV", "PCM_24")),
        ("a.wma", ["-c:a", "wmav2"], ("ASF", "WMAV2")), ("a.wv", ["-c:a", "wavpack"], ("WV", "PCM_16")),
        ("a.mka", ["-c:a", "flac"], ("MATROSKA", "PCM_16")), ("a.wav", ["-c:a", "pcm_mulaw"], ("WAV", "ULAW")),
    ],
)  # fmt: skip
def test_every_format_is_read_by_content(take, name, options, expected):
    source = convert(take, take.parent / name, *options)
    hidden = source.rename(take.parent / "no-ending")
    info = probe(hidden)
    assert (info.format.container, info.format.subtype) == expected
    assert info.format.is_lossy == (not expected[1].startswith("PCM"))
    got, original = whole(hidden), whole(take)
    if info.format.is_lossy:  # nobody promises waveforms here: about its length
        assert abs(len(got) / info.format.sample_rate - 3) < 0.2
    else:
        assert np.array_equal(got, original)
    result = output_format(info.format)
    assert result.subtype == ("PCM_24" if info.format.is_lossy else expected[1])
    assert result.container == "FLAC"
    store(take.parent / f"result{result.suffix}", result, got * 0.5)


@needs_ffmpeg
@pytest.mark.parametrize("name", ["a.mp3", "a.ogg", "a.opus", "a.m4a", "a.flac"])
def test_the_size_of_blocks_does_not_matter(take, name):
    path = convert(take, take.parent / name, *(["-ar", "48000"] if name == "a.opus" else []))
    at_once = whole(path, 1_000_000)
    assert len(at_once) > 3 * 44100 - 1
    assert np.array_equal(whole(path, 1000), at_once)
    assert np.array_equal(whole(path, 65536), at_once)


@needs_ffmpeg
def test_ffmpeg_is_streamed_and_stopped(take):
    path = convert(take, take.parent / "long.wv", "-c:a", "wavpack", "-filter:a", "aloop=loop=30:size=132300")
    with FfmpegReader(path, "long.wv") as reader:
        assert len(reader.read(100)) == 100
        assert len(reader._held) < 1 << 18  # of 65 MB
    assert reader._process.poll() is not None


# Channels


def told_apart(channels, rate=48000):
    """Half a second, a channel of which is half as loud again as the one before."""
    sine = np.sin(2 * np.pi * 60 * np.arange(rate // 2) / rate)
    return sine[:, None] * 0.05 * 1.5 ** np.arange(channels)


def by_ffmpeg(path, channels):
    words = ["ffmpeg", "-v", "error", "-i", path, "-c:a", "pcm_f64le", "-f", "f64le", "-"]
    raw = subprocess.run(words, check=True, capture_output=True).stdout
    return np.frombuffer(raw, "<f8").reshape(-1, channels)


def loudness(samples):
    """Of each channel, so that one of `told_apart` is at 1, 2, 3..."""
    return 1 + np.log(np.sqrt(2 * np.mean(samples**2, axis=0)) / 0.05) / np.log(1.5)


@needs_ffmpeg
@pytest.mark.parametrize(
    "layout", ["2.1", "4.0", "quad", "FL+FR+FC+BL", "5.0(side)", "5.1", "5.1(side)", "6.1", "7.1(wide)"]
)
def test_ffmpeg_hands_over_the_channels_as_they_are(tmp_path, layout):
    channels = {"2.1": 3, "6.1": 7, "7.1(wide)": 8}.get(layout, 4 + layout.startswith("5.") + ("5.1" in layout))
    soundfile.write(tmp_path / "in.wav", told_apart(channels), 48000, "PCM_24")
    numbered = "|".join(map(str, range(channels)))
    path = convert(tmp_path / "in.wav", tmp_path / "a.wv", "-af", f"channelmap={numbered}:{layout}")
    with open_reader(path) as reader:
        assert isinstance(reader, FfmpegReader)
        assert np.array_equal(everything(reader), soundfile.read(tmp_path / "in.wav")[0])


@needs_ffmpeg
@pytest.mark.parametrize("channels", [3, 4, 5, 6, 7, 8, 12])
def test_channels_that_nobody_named_are_as_they_are(tmp_path, channels):
    soundfile.write(tmp_path / "in.wav", told_apart(channels) / 10, 48000, "PCM_24")
    path = convert(tmp_path / "in.wav", tmp_path / "a.mka", "-c:a", "pcm_s24le")
    assert np.array_equal(whole(path), soundfile.read(tmp_path / "in.wav")[0])


@needs_ffmpeg
@pytest.mark.parametrize(("first", "second"), [(1, 2), (2, 1)])
def test_the_number_of_channels_is_that_of_the_beginning(take, first, second):
    parts = [convert(take, take.parent / f"{n}.aac", "-ac", str(n)).read_bytes() for n in (first, second)]
    (take.parent / "both.aac").write_bytes(b"".join(parts))
    got = whole(take.parent / "both.aac")
    assert got.shape[1] == first
    assert abs(len(got) / 44100 - 6) < 0.2


@needs_ffmpeg
@pytest.mark.parametrize(("codec", "channels"), [*(("libvorbis", n) for n in range(1, 9)), ("libopus", 6)])
def test_ogg_is_read_in_the_order_of_wav(tmp_path, codec, channels):
    soundfile.write(tmp_path / "in.wav", told_apart(channels), 48000, "PCM_24")
    bits = ["-b:a", f"{96 * channels}k"]
    path = convert(tmp_path / "in.wav", tmp_path / "a.ogg", "-c:a", codec, *bits)
    with open_reader(path) as reader:
        assert not isinstance(reader, FfmpegReader)
        got = loudness(everything(reader))
    np.testing.assert_allclose(got, loudness(by_ffmpeg(path, channels)), atol=0.05)
    assert list(np.argsort(got)) == list(range(channels))


@needs_ffmpeg
@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
@pytest.mark.parametrize("channels", range(1, 9))
def test_ogg_is_written_in_the_order_of_vorbis(tmp_path, subtype, channels):
    store(tmp_path / "a.ogg", AudioFormat("OGG", subtype, 48000, channels), told_apart(channels))
    ours = loudness(whole(tmp_path / "a.ogg"))
    np.testing.assert_allclose(loudness(by_ffmpeg(tmp_path / "a.ogg", channels)), ours, atol=0.05)
    assert list(np.argsort(ours)) == list(range(channels))


@needs_ffmpeg
def test_opus_of_no_loudspeakers_keeps_its_order(tmp_path):
    soundfile.write(tmp_path / "in.wav", told_apart(6), 48000, "PCM_24")
    options = ["-c:a", "libopus", "-mapping_family", "255", "-b:a", "576k"]
    got = loudness(whole(convert(tmp_path / "in.wav", tmp_path / "a.opus", *options)))
    np.testing.assert_allclose(got, 1 + np.arange(6), atol=0.3)


# Chains of Ogg files


def chain(folder, *links):
    path = folder / "chain.ogg"
    path.write_bytes(b"".join(link.read_bytes() for link in links))
    return path


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
@pytest.mark.parametrize("channels", [2, 6])
@pytest.mark.parametrize("size", [777, 10**6])
def test_all_of_a_chain_is_read(tmp_path, subtype, channels, size):
    form = AudioFormat("OGG", subtype, 48000, channels)
    links = [tmp_path / f"{i}.ogg" for i in range(3)]
    for i, path in enumerate(links):
        store(path, form, (i + 1) / 3 * told_apart(channels))
    path = chain(tmp_path, *links)
    assert probe(path).format == form
    assert probe(path).frames is None
    assert np.array_equal(whole(path, size), np.concatenate([whole(link) for link in links]))


def test_a_chain_with_a_damaged_link_says_so(tmp_path):
    store(tmp_path / "a.ogg", AudioFormat("OGG", "VORBIS", 48000, 2), told_apart(2))
    store(tmp_path / "b.ogg", AudioFormat("OGG", "VORBIS", 48000, 2), told_apart(2))
    spoil(tmp_path / "b.ogg", 0.02, 400)
    path = chain(tmp_path, tmp_path / "a.ogg", tmp_path / "b.ogg")
    with pytest.raises(AudioError, match="of which one is damaged"):
        whole(path)


@needs_ffmpeg
def test_streams_side_by_side_are_no_chain(tmp_path):
    store(tmp_path / "a.ogg", AudioFormat("OGG", "VORBIS", 48000, 2), told_apart(2))
    picture = ["-f", "lavfi", "-i", "testsrc=size=64x64:duration=0.5", "-c:v", "libtheora", "-c:a", "copy"]
    path = convert(tmp_path / "a.ogg", tmp_path / "film.ogg", *picture)
    assert abs(len(whole(path)) - 24000) < 1000


@pytest.mark.parametrize(("rate", "channels"), [(44100, 2), (48000, 1)])
def test_a_chain_of_several_formats_is_refused(tmp_path, rate, channels):
    store(tmp_path / "a.ogg", AudioFormat("OGG", "VORBIS", 48000, 2), told_apart(2))
    store(tmp_path / "b.ogg", AudioFormat("OGG", "VORBIS", rate, channels), told_apart(channels))
    path = chain(tmp_path, tmp_path / "a.ogg", tmp_path / "b.ogg")
    for look in (probe, open_reader):
        with pytest.raises(AudioError, match="several Ogg files, of different sample rates or channels"):
            look(path)


# Recorders that were killed


def killed(path, riff_size):
    """The WAV as a recorder leaves it that had no time to say how long it is."""
    raw = bytearray(path.read_bytes())
    at = raw.index(b"data") + 8
    raw[at - 4 : at] = bytes(4)
    raw[4:8] = riff_size.to_bytes(4, "little")
    path.write_bytes(raw)


@pytest.mark.parametrize("riff_size", [0, 36, 36 + 3 * 44100 * 4, 0xFFFFFFFF])
def test_a_wav_of_no_stated_length_is_read_to_its_end(take, riff_size):
    original = whole(take)
    killed(take, riff_size)
    assert probe(take).frames is None
    assert probe(take).format == AudioFormat("WAV", "PCM_16", 44100, 2)
    assert np.array_equal(whole(take), original)


def test_an_rf64_of_no_stated_length_is_read_to_its_end(tmp_path):
    path, form = tmp_path / "take.wav", AudioFormat("RF64", "PCM_24", 48000, 2)
    store(path, form, told_apart(2))
    original = whole(path)
    raw = bytearray(path.read_bytes())
    raw[20:44] = bytes(24)
    path.write_bytes(raw)
    assert np.array_equal(whole(path), original)


@pytest.mark.parametrize("container", ["WAV", "WAVEX", "RF64"])
def test_chunks_behind_no_sound_are_no_sound(tmp_path, container):
    form = AudioFormat(container, "PCM_16", 48000, 2)
    store(tmp_path / "a.wav", form, np.zeros((0, 2)))
    append_chunks(tmp_path / "a.wav", RiffChunks(((b"bext", bytes(700)),)))
    assert probe(tmp_path / "a.wav").frames == 0
    assert len(whole(tmp_path / "a.wav")) == 0
    assert read_chunks(tmp_path / "a.wav").names == ["bext"]


def test_a_killed_recording_of_another_codec_is_refused(tmp_path):
    soundfile.write(tmp_path / "a.wav", told_apart(1), 48000, "IMA_ADPCM")
    killed(tmp_path / "a.wav", 0)
    with pytest.raises(AudioError, match="codec 0x0011"):
        open_reader(tmp_path / "a.wav")


@pytest.mark.parametrize("container", ["WAV", "FLAC", "OGG", "CAF"])
def test_tags_survive(tmp_path, container):
    subtype = "VORBIS" if container == "OGG" else "PCM_16"
    form = AudioFormat(container, subtype, 44100, 1)
    store(tmp_path / "first", form, np.zeros((100, 1)), tags=TAGS)
    info = probe(tmp_path / "first")
    store(tmp_path / "second", form, np.zeros((100, 1)), tags=info.tags)
    assert {name: probe(tmp_path / "second").tags.get(name) for name in TAGS} == TAGS


@needs_ffmpeg
@pytest.mark.parametrize("name", ["a.mp3", "a.m4a", "a.flac", "b.wav", "a.opus"])
def test_tags_of_other_programs_survive_into_flac(take, name):
    options = [part for key, value in TAGS.items() for part in ("-metadata", f"{key}={value}")]
    path = convert(take, take.parent / name, *options)
    target = take.parent / "result.flac"
    with open_reader(path) as reader:
        assert reader.tags == probe(path).tags
        store(target, AudioFormat("FLAC", "PCM_24", 44100, 2), np.zeros((10, 2)), tags=reader.tags)
    assert {name: probe(target).tags.get(name) for name in TAGS} == TAGS


def test_output_format():
    pcm = AudioFormat("WAV", "PCM_24", 96000, 6)
    assert output_format(pcm) == pcm
    assert output_format(AudioFormat("MP3", "MPEG_LAYER_III", 44100, 2)) == AudioFormat("FLAC", "PCM_24", 44100, 2)
    assert output_format(AudioFormat("WAV", "IMA_ADPCM", 44100, 2)) == AudioFormat("FLAC", "PCM_24", 44100, 2)
    assert output_format(AudioFormat("OGG", "VORBIS", 44100, 10)) == AudioFormat("WAV", "PCM_24", 44100, 10)
    assert output_format(AudioFormat("CAF", "ALAC_24", 44100, 2)) == AudioFormat("FLAC", "PCM_24", 44100, 2)
    assert output_format(AudioFormat("WV", "FLOAT", 44100, 2)) == AudioFormat("WAV", "FLOAT", 44100, 2)
    assert output_format(AudioFormat("WV", "PCM_32", 44100, 2)) == AudioFormat("WAV", "PCM_32", 44100, 2)


def test_what_a_format_says_of_itself():
    assert AudioFormat("WAV", "PCM_16", 44100, 1).is_integer
    assert not AudioFormat("WAV", "FLOAT", 44100, 1).is_integer
    assert AudioFormat("OGG", "OPUS", 48000, 1).suffix == ".opus"
    assert AudioFormat("AIFF", "PCM_16", 48000, 1).suffix == ".aiff"
    assert AudioFormat("RF64", "PCM_16", 48000, 1).suffix == ".wav"


@pytest.mark.parametrize("form", [AudioFormat("WAV", "PCM_16", 44100, 1), AudioFormat("FLAC", "PCM_24", 44100, 1)])
def test_peaks_are_held_at_full_scale_and_counted(tmp_path, form):
    samples = np.array([0.5, 1.0, 1.5, -1.0, -1.5, 100.0, -100.0])[:, None]
    writer = store(tmp_path / "loud", form, samples)
    top = 1 - 2.0 ** (1 - form.bits)
    assert writer.clipped == 5  # 1.0 is a step above the top, -1.0 is the bottom
    assert whole(tmp_path / "loud")[:, 0].tolist() == [0.5, top, top, -1.0, -1.0, top, -1.0]


def test_float_keeps_peaks(tmp_path):
    writer = store(tmp_path / "loud", AudioFormat("WAV", "FLOAT", 44100, 1), np.full((3, 1), 4.5))
    assert writer.clipped == 0
    assert whole(tmp_path / "loud")[:, 0].tolist() == [4.5] * 3


def test_integers_round_to_the_nearest(tmp_path):
    steps = np.array([0.4, 0.6, -0.4, -0.6])[:, None]
    store(tmp_path / "soft", AudioFormat("WAV", "PCM_16", 44100, 1), steps / 32768)
    assert (whole(tmp_path / "soft")[:, 0] * 32768).tolist() == [0, 1, 0, -1]


@pytest.mark.parametrize("container", ["WAV", "FLAC", "AIFF", "W64", "CAF"])
def test_no_frames_are_a_file_too(tmp_path, container):
    with open_writer(tmp_path / "none", AudioFormat(container, "PCM_16", 44100, 2)):
        pass
    assert probe(tmp_path / "none").frames in (0, None)  # a FLAC of 0 frames is one of unknown length
    assert probe(tmp_path / "none").format == AudioFormat(container, "PCM_16", 44100, 2)
    assert whole(tmp_path / "none").shape == (0, 2)


# Refusals in reading


def test_missing_folder_empty_text(tmp_path):
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("this is no sound\n" * 100)
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXTINF:1,\n/etc/hostname\n")
    (tmp_path / "take.raw").write_bytes(bytes(1000))
    for name, message in [
        ("none.wav", "does not exist"), ("", "is a folder"), ("empty.wav", "is empty"), ("x\0y", "cannot be opened"),
        ("text.wav", "not an audio file that can be read|not a file that can be read without ffprobe"),
        ("list.m3u8", "not an audio file that can be read|not a file that can be read without ffprobe"),
        ("take.raw", "not an audio file that can be read|not a file that can be read without ffprobe"),
    ]:  # fmt: skip
        for attempt in (probe, open_reader):
            with pytest.raises(AudioError, match=message) as caught:
                attempt(tmp_path / name)
            assert "\n" not in str(caught.value)


def test_without_ffmpeg_the_remedy_is_named(tmp_path, monkeypatch):
    (tmp_path / "take.m4a").write_bytes(b"\0\0\0\x20ftypM4A " + bytes(100))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(AudioError, match="install ffmpeg"):
        probe(tmp_path / "take.m4a")


@needs_ffmpeg
def test_a_silent_film_is_refused(tmp_path):
    film = tmp_path / "film.mp4"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=d=0.1:s=64x64", "-c:v", "mpeg4", film]
    subprocess.run(command, check=True)
    with pytest.raises(AudioError, match="holds no sound"):
        probe(film)


@pytest.mark.parametrize(("value", "word"), [(np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf")])
def test_samples_that_are_not_finite_are_refused(tmp_path, value, word):
    samples = np.zeros((44100, 2))
    samples[22050, 1] = value
    soundfile.write(tmp_path / "bad.wav", samples, 44100, "FLOAT")
    message = rf"has a sample that is {word} at 0.500000 s \(sample 22050, channel 2\)"
    with open_reader(tmp_path / "bad.wav") as reader:
        assert len(reader.read(20000)) == 20000
        with pytest.raises(AudioError, match=message):
            reader.read(20000)
    with pytest.raises(AudioError, match=message):
        store(tmp_path / "result.wav", AudioFormat("WAV", "PCM_16", 44100, 2), samples)
    assert not (tmp_path / "result.wav").exists()


def cut(path, share):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def spoil(path, where, size):
    raw = bytearray(path.read_bytes())
    at = int(len(raw) * where)
    raw[at : at + size] = np.random.default_rng(2).bytes(size)
    path.write_bytes(raw)


def test_a_truncated_wav_is_read_to_its_end(take):
    original = whole(take)
    cut(take, 0.6)
    got = whole(take)
    assert abs(len(got) - 0.6 * len(original)) < 20
    assert np.array_equal(got, original[: len(got)])


@pytest.mark.parametrize("container", ["WAV", "WAVEX", "RF64", "AIFF", "W64"])
@pytest.mark.parametrize(("share", "is_cut"), [(0.6, True), (1, False)])
def test_a_file_that_ends_before_its_header_says_is_known(tmp_path, container, share, is_cut):
    path = tmp_path / "take"
    soundfile.write(path, told_apart(3), 48000, "PCM_24", format=container)
    with path.open("ab") as file:
        file.write(b"JUNK" + bytes(60))
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with open_reader(path) as reader:
        assert not reader.truncated
        assert abs(len(everything(reader)) - share * 24000) < 200
        assert reader.truncated is is_cut


@pytest.mark.parametrize(
    ("container", "size"),
    [
        ("WAV", "ffffffff"), ("WAV", "00f0ff7f"), ("WAV", "00000000"), ("AIFF", "00000000"), ("AIFF", "7f000008"),
        ("W64", "ffffffffffffff7f"),
    ],
)  # fmt: skip
def test_a_header_that_does_not_know_the_length_is_no_promise(tmp_path, container, size):
    """As ffmpeg, sox and recorders that were killed leave it."""
    path = tmp_path / "take"
    soundfile.write(path, told_apart(2), 48000, "PCM_16", format=container)
    raw = path.read_bytes()
    at = raw.index(b"SSND" if container == "AIFF" else b"data") + (16 if container == "W64" else 4)
    path.write_bytes(raw[:at] + bytes.fromhex(size) + raw[at + len(size) // 2 :])
    with open_reader(path) as reader:
        assert len(everything(reader)) == 24000
        assert not reader.truncated


@pytest.mark.parametrize("size", [1000, 30000, 10**6])
def test_a_truncated_flac_is_read_to_its_end(take, size):
    original = whole(take)
    path = take.with_suffix(".flac")
    store(path, AudioFormat("FLAC", "PCM_16", 44100, 2), original)
    cut(path, 0.6)
    with open_reader(path) as reader:
        got = everything(reader, size)
        assert reader.truncated
        assert reader.frames == len(original)
    assert abs(len(got) - 0.6 * len(original)) < 4096 + 20  # FLAC comes in frames of 4096
    assert np.array_equal(got, original[: len(got)])


def test_damage_amid_a_flac_says_when(take):
    path = take.with_suffix(".flac")
    store(path, AudioFormat("FLAC", "PCM_16", 44100, 2), whole(take))
    spoil(path, 0.5, 3000)
    with open_reader(path) as reader, pytest.raises(AudioError, match=r"cannot be decoded at 1\.[45]\d\d s"):
        everything(reader)


@needs_ffmpeg
@pytest.mark.parametrize("name", ["a.aac", "a.wma", "a.wv"])
def test_what_ffmpeg_decodes_is_read_to_a_truncated_end_but_damage_amid_says_when(take, name):
    path = convert(take, take.parent / name)
    raw = path.read_bytes()
    length = len(whole(path))
    cut(path, 0.6)
    with open_reader(path) as reader:
        got = everything(reader, 10**6)
        assert reader.truncated
    assert 0.3 * length < len(got) < 0.7 * length  # WavPack comes in blocks of half a second
    path.write_bytes(raw)
    spoil(path, 0.4, 1500)
    with open_reader(path) as reader, pytest.raises(AudioError, match=r"cannot be decoded at about [01]\.\d s"):
        everything(reader, 10**6)


@needs_ffmpeg
def test_a_flac_of_unknown_length_is_read(take):
    path = take.parent / "piped.flac"
    with path.open("wb") as file:
        subprocess.run(["ffmpeg", "-v", "error", "-i", take, "-f", "flac", "pipe:1"], stdout=file, check=True)
    assert probe(path).frames in (None, 3 * 44100)
    assert np.array_equal(whole(path), whole(take))


@pytest.mark.parametrize(
    ("field", "value", "message"), [(24, 0, "0 Hz"), (24, 900_000, "900000 Hz"), (22, 200, "200 channels")]
)
def test_absurd_headers_are_refused(take, field, value, message):
    raw = bytearray(take.read_bytes())
    raw[field : field + 2 if field == 22 else field + 4] = value.to_bytes(2 if field == 22 else 4, "little")
    if field == 22:
        raw[32:34] = (2 * value).to_bytes(2, "little")
    take.write_bytes(raw)
    with pytest.raises(AudioError, match=f"{message}|that can be read"):
        open_reader(take)


# Refusals and faults in writing

FORM = AudioFormat("WAV", "PCM_16", 44100, 1)
SOUND = np.zeros((1000, 1))


def test_an_existing_target_needs_leave(tmp_path):
    target = tmp_path / "result.wav"
    target.write_text("precious")
    with pytest.raises(UsageError, match="--overwrite"):
        open_writer(target, FORM)
    assert target.read_text() == "precious"
    store(target, FORM, SOUND, overwrite=True)
    assert probe(target).frames == 1000


def write_and_fail(path, blocks, error):
    with open_writer(path, FORM, overwrite=True) as writer:
        for _ in range(blocks):
            writer.write(SOUND)
        raise error


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("blocks", [0, 1])
def test_an_exception_leaves_everything_as_it_was(tmp_path, error, blocks):
    target = tmp_path / "old.wav"
    target.write_text("precious")
    for path in (target, tmp_path / "new" / "er" / "result.wav"):
        with pytest.raises(error):
            write_and_fail(path, blocks, error)
    assert [each.name for each in tmp_path.iterdir()] == ["old.wav"]
    assert target.read_text() == "precious"


def test_nothing_is_there_before_the_end_and_nothing_else_after_it(tmp_path):
    target = tmp_path / "new" / "result.wav"
    with open_writer(target, FORM) as writer:
        assert not target.parent.exists()
        writer.write(SOUND)
        assert not target.exists()
    assert [each.name for each in target.parent.iterdir()] == ["result.wav"]
    umask = os.umask(0)
    os.umask(umask)
    assert target.stat().st_mode & 0o777 == 0o666 & ~umask


def test_a_target_that_appears_meanwhile_is_kept(tmp_path):
    target = tmp_path / "result.wav"
    writer = open_writer(target, FORM)
    writer.write(SOUND)
    target.write_text("precious")
    with pytest.raises(UsageError, match="exists already"), writer:
        pass
    assert target.read_text() == "precious"
    assert len(list(tmp_path.iterdir())) == 1


def test_targets_that_are_no_files_are_refused(tmp_path):
    with pytest.raises(UsageError, match="is a folder"):
        open_writer(tmp_path, FORM, overwrite=True)
    if Path("/dev/null").is_char_device():
        with pytest.raises(UsageError, match="not a regular file"):
            open_writer(Path("/dev/null"), FORM, overwrite=True)


def test_folders_that_cannot_be_written_are_refused_at_once(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(AudioError, match="cannot be written"):
        open_writer(tmp_path / "file" / "result.wav", FORM)
    with pytest.raises(AudioError, match="cannot be written"):
        open_writer(tmp_path / "file" / "deeper" / "result.wav", FORM)
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere, so chmod would prove nothing
    with pytest.raises(AudioError, match="no permission to write"):
        open_writer(tmp_path / "result.wav", FORM)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="there is no /proc, the folder that root cannot write")
def test_a_folder_that_refuses_later_gives_one_clear_error():
    with pytest.raises(AudioError, match="cannot be written"):
        store(Path("/proc/self/result.wav"), FORM, SOUND)


@pytest.mark.parametrize(
    "form",
    [
        AudioFormat("OGG", "OPUS", 44100, 2),
        AudioFormat("FLAC", "PCM_16", 44100, 9),
        AudioFormat("FLAC", "FLOAT", 44100, 1),
        AudioFormat("MOV", "AAC", 44100, 2),
        AudioFormat("CAF", "ALAC_24", 44100, 2),
    ],
)
def test_formats_that_cannot_be_written_are_refused_at_once(tmp_path, form):
    with pytest.raises(AudioError, match=f"cannot be written as {form.container} {form.subtype}"):
        open_writer(tmp_path / "result", form)
    assert not list(tmp_path.iterdir())


def store_often(path, form, samples, times):
    with open_writer(path, form) as writer:
        for _ in range(times):
            writer.write(samples)


@pytest.mark.parametrize("container", ["WAV", "FLAC", "OGG", "MP3", "AIFF", "CAF"])
@pytest.mark.parametrize("limit", [1000, 300_000])
def test_a_full_disk_leaves_nothing(tmp_path, container, limit):
    subtype = {"OGG": "VORBIS", "MP3": "MPEG_LAYER_III"}.get(container, "PCM_16")
    form = AudioFormat(container, subtype, 44100, 2)
    noise = np.random.default_rng(0).uniform(-0.9, 0.9, (44100, 2))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))  # a file can grow no larger: what a full disk does
    try:
        with pytest.raises(AudioError, match=r"cannot be written \(File too large\)"):
            store_often(tmp_path / "result", form, noise if limit > 1000 else noise[:4410], times=30)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.iterdir())


def test_a_wav_beyond_4_gib_is_refused(tmp_path):
    writer = open_writer(tmp_path / "long.wav", FORM)
    writer.frames = 2**31 - 2**19  # as if so many had been written
    with pytest.raises(AudioError, match=r"4 GiB.*RF64"):
        writer.write(SOUND)
    assert not list(tmp_path.iterdir())


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real.wav").write_text("old")
    (tmp_path / "link.wav").symlink_to(tmp_path / "real.wav")
    store(tmp_path / "link.wav", FORM, SOUND, overwrite=True)
    assert (tmp_path / "link.wav").is_symlink()
    assert probe(tmp_path / "real.wav").frames == 1000


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse names that are not UTF-8")
@pytest.mark.parametrize(
    "name", ["Für Elise 第一.wav", "a" * 250 + ".wav", os.fsdecode(b"caf\xe9.wav"), "-y.wav", "a:b|c.wav"]
)
def test_odd_names(tmp_path, name):
    path = tmp_path / name
    store(path, FORM, SOUND)
    assert probe(path).frames == 1000
    assert len(whole(path)) == 1000


def test_a_name_is_never_standard_input(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store(Path("a.wav"), FORM, SOUND)
    Path("a.wav").rename("-")
    assert probe(Path("-")).frames == 1000
    assert len(whole(Path("-"))) == 1000


@needs_ffmpeg
@pytest.mark.parametrize("name", ["-y.m4a", "concat:a|b.m4a", os.fsdecode(b"caf\xe9.m4a"), "%03d.m4a"])
def test_odd_names_through_ffmpeg(take, name):
    made = convert(take, take.parent / "plain.m4a")
    assert len(whole(made.rename(take.parent / name))) > 3 * 44100 - 1
