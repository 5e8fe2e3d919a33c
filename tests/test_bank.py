"""Sample banks: a written bank reads back, notes come out trimmed, in place and at their own level."""

import io
import pickle
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file

from restorer.errors import AudioError, UsageError
from restorer.training.bank import LEAD_S, build_bank, load_bank, note_file, note_number, save_bank, trimmed
from restorer.training.soundfont import PITCHES, record_notes

RATE = 22050
FACTS = {"name": "sines", "licence": "CC0"}
LIST = (2).to_bytes(8, "little") + b"[]"


def decaying(
    frequency_hz: float, seconds: float = 1.0, silence_s: float = 0.0, peak: float = 0.5, rate: int = RATE
) -> np.ndarray:
    """(1, time): silence, then a sine that falls by 60 dB a second."""
    time = np.arange(round(seconds * rate)) / rate
    tone = peak * np.sin(2 * np.pi * frequency_hz * time) * 10 ** (-3 * time)
    return np.concatenate([np.zeros(round(silence_s * rate)), tone]).astype(np.float32)[None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    soundfile.write(recordings / "A4v1.wav", decaying(440, peak=0.1).T, RATE)
    soundfile.write(recordings / "A4v2.wav", decaying(440, silence_s=0.2, peak=0.4).T, RATE)
    (recordings / "README.txt").write_text("not a note")
    content = io.BytesIO()
    soundfile.write(content, decaying(220, peak=0.2, rate=48000).T, 48000, format="FLAC")
    with tarfile.open(recordings / "more.tgz", "w:gz") as archive:
        member = tarfile.TarInfo("package/audio/A3v2.flac")
        member.size = len(content.getvalue())
        archive.addfile(member, io.BytesIO(content.getvalue()))
    return recordings


@given(st.integers(-1, 8), st.integers(0, 11), st.integers(1, 127))
def test_note_names_count_from_middle_c(octave: int, step: int, layer: int) -> None:
    word = ["C", "Db", "D", "D#", "E", "F", "F#", "G", "Ab", "A", "Bb", "B"][step] + f"{octave}v{layer}"
    assert note_number(word) == (60 + 12 * (octave - 4) + step, layer)


def test_bank_holds_every_note_of_files_and_archives(folder: Path, tmp_path: Path) -> None:
    bank = build_bank(folder, tmp_path / "bank.safetensors", sample_rate=RATE, **FACTS)
    assert bank.pitch.tolist() == [57, 69, 69]
    assert (np.diff(bank.velocity[1:]) > 0).all()
    assert (bank.name, bank.licence, bank.sample_rate, bank.channels) == ("sines", "CC0", RATE, 1)
    for i, frequency in enumerate([220, 440, 440]):
        note = bank.samples[0, bank.offset[i] : bank.offset[i] + bank.length[i]].astype(float)
        spectrum = np.abs(np.fft.rfft(note, 8 * RATE))
        assert np.argmax(spectrum) / 8 == pytest.approx(frequency, abs=1)  # the line is 7 Hz wide


def test_layers_keep_their_loudness(folder: Path, tmp_path: Path) -> None:
    bank = build_bank(folder, tmp_path / "bank.safetensors", sample_rate=RATE, **FACTS)
    places = zip(bank.offset, bank.length, bank.scale, strict=True)
    peaks = [np.abs(bank.samples[0, begin : begin + size]).max() * scale for begin, size, scale in places]
    assert peaks[2] / peaks[1] == pytest.approx(4, rel=0.02)  # the fade over the lead takes a little of the attack
    assert bank.loudness_db[2] - bank.loudness_db[1] == pytest.approx(20 * np.log10(4), abs=0.1)


@given(st.floats(0, 0.3), st.floats(0.001, 1))
def test_onset_lies_a_lead_after_the_start(silence_s: float, peak: float) -> None:
    note = trimmed(decaying(440, silence_s=silence_s, peak=peak), RATE, 12.0)
    level = np.abs(note[0])
    onset_s = np.argmax(level > 0.05 * level.max()) / RATE
    assert onset_s == pytest.approx(LEAD_S, abs=1.5 / RATE)  # whole samples


@given(st.floats(0.1, 3.0))
def test_tail_ends_at_70_db_or_the_longest(longest_s: float) -> None:
    note = trimmed(decaying(440, seconds=3.0), RATE, longest_s)
    assert note.shape[1] / RATE == pytest.approx(min(70 / 60, longest_s), abs=0.06)  # blocks of 50 ms, and the lead
    assert note[0, -1] == 0


def test_mapping_is_what_was_written_and_survives_a_pickle(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    notes = [rng.uniform(-level, level, (2, n)).astype(np.float32) for level, n in ((0.5, 1000), (0.01, 333), (1.0, 1))]
    unordered = np.array([[60, 64], [61, 64], [62, 127]], np.float32).T  # columns of a matrix: not contiguous
    path = tmp_path / "bank.safetensors"
    save_bank(path, notes, *unordered, RATE, **FACTS)
    bank = pickle.loads(pickle.dumps(load_bank(path)))
    assert isinstance(bank.samples, np.memmap)
    assert bank.pitch.tolist() == [60, 61, 62]
    for i, note in enumerate(notes):
        read = bank.samples[:, bank.offset[i] : bank.offset[i] + bank.length[i]] * bank.scale[i]
        assert np.abs(read - note).max() <= 0.51 * bank.scale[i]  # half a step of 16 bits


@pytest.mark.parametrize("word", ["H4v1", "A4", "A4v", "rel12", ""])
def test_refuses_what_names_no_note(word: str) -> None:
    with pytest.raises(UsageError, match="F#2v12"):
        note_number(word)


def test_refuses_a_folder_without_notes(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="no recorded notes"):
        build_bank(tmp_path, tmp_path / "bank.safetensors", **FACTS)


@pytest.mark.parametrize(
    "content", [b"", b"RIFF and more than eight bytes", (10**12).to_bytes(8, "little") + b"{}", LIST]
)
def test_refuses_what_is_no_bank(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bank.safetensors"
    path.write_bytes(content)
    with pytest.raises(AudioError, match="not a sample bank"):
        load_bank(path)


def test_refuses_a_bank_whose_samples_are_of_another_kind(tmp_path: Path) -> None:
    """Integers of 64 bits taken for those of 16 would be noise."""
    path = tmp_path / "bank.safetensors"
    save_bank(path, [decaying(440)], np.array([69]), np.array([64]), RATE, **FACTS)
    with safe_open(path, "numpy") as file:
        metadata, arrays = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(arrays | {"samples": arrays["samples"].astype(np.int64)}, path, metadata)
    with pytest.raises(AudioError, match="no sample bank: it holds samples as I64, not I16; build it again"):
        load_bank(path)


@pytest.mark.parametrize("content", [b"no audio", None])
def test_refuses_a_note_that_cannot_be_heard(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "A4v1.wav"
    if content is None:
        soundfile.write(path, np.zeros(1000), RATE)
    else:
        path.write_bytes(content)
    with pytest.raises(AudioError, match="note 69 layer 1"):
        build_bank(tmp_path, tmp_path / "bank.safetensors", **FACTS)


@pytest.mark.parametrize("kept", [0, 100, 1000])
def test_refuses_an_archive_that_is_none_or_is_torn(folder: Path, tmp_path: Path, kept: int) -> None:
    torn = (folder / "more.tgz").read_bytes()[:kept] or b"no archive"
    (folder / "more.tgz").write_bytes(torn)
    with pytest.raises(AudioError, match=r"more\.tgz .*take it out of the folder$"):
        build_bank(folder, tmp_path / "bank.safetensors", sample_rate=RATE, **FACTS)


def test_refuses_a_place_where_no_bank_can_be_written(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    before = sorted(tmp_path.rglob("*"))
    for out in (Path("/proc/bank.safetensors"), tmp_path / "file" / "bank.safetensors"):
        with pytest.raises(AudioError, match=f"{out} cannot be written"):
            build_bank(folder, out, sample_rate=RATE, **FACTS)
    assert sorted(tmp_path.rglob("*")) == before


@given(st.integers(12, 119), st.integers(1, 16))
def test_a_notes_file_is_named_as_it_is_read(pitch: int, layer: int) -> None:
    assert note_number(Path(note_file(pitch, layer)).stem) == (pitch, layer)


# SoundFonts

FONT = Path("/usr/share/sounds/sf2/TimGM6mb.sf2")


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("fluidsynth") and FONT.is_file()), reason="needs fluidsynth and a SoundFont")
def test_a_soundfonts_piano_plays_every_note_at_its_pitch(tmp_path: Path) -> None:
    record_notes(FONT, tmp_path, RATE, layers=2)
    bank = build_bank(tmp_path, tmp_path / "bank.safetensors", sample_rate=RATE, longest_s=2.0, **FACTS)
    assert sorted(set(bank.pitch)) == list(PITCHES)
    assert sorted(set(bank.velocity)) == [31.75, 95.25]
    for pitch in (45, 69, 81):
        soft, loud = np.flatnonzero(bank.pitch == pitch)
        assert bank.loudness_db[loud] > bank.loudness_db[soft] + 6
        note = bank.samples[0, bank.offset[loud] :][: 2**15].astype(float)
        spectrum = np.abs(np.fft.rfft(note * np.hanning(note.size)))
        hertz = np.arange(spectrum.size) * RATE / note.size
        true = 440 * 2 ** ((pitch - 69) / 12)
        near = np.abs(np.log2(np.maximum(hertz, 1) / true)) < 0.25
        assert hertz[near][spectrum[near].argmax()] == pytest.approx(true, rel=0.01)  # a bin is 0.7 Hz
    assert not list(tmp_path.glob("notes.*"))


def test_a_soundfont_without_its_player_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    (tmp_path / "font.sf2").write_bytes(b"RIFF\0\0\0\0sfbk")
    with pytest.raises(AudioError, match="install it"):
        record_notes(tmp_path / "font.sf2", tmp_path)


def test_what_is_no_soundfont_is_refused(tmp_path: Path) -> None:
    font = tmp_path / "font.sf2"
    font.write_bytes(b"no font at all")
    with pytest.raises(AudioError, match="is no SoundFont"):
        record_notes(font, tmp_path)
