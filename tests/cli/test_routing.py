"""From words to the call of the engine, with an engine that only listens."""

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from restorer.audio import AudioFormat
from restorer.cli import app
from restorer.errors import AudioError
from restorer.restoration.settings import BWE, DECLIP, INPAINT
from restorer.restoration.task import BandwidthExtension, Declipping, Inpainting, Repair
from restorer.restoration.wanted import LIKE_INPUT, Wanted
from restorer.training.settings import NO_LIMIT
from tests.shell import record


@dataclass(frozen=True)
class Report:
    source: object
    target: object
    seconds: float
    windows: int
    notes: tuple[str, ...]
    faults: tuple[str, ...] = ()


class Engine:
    """Stands in for everything that needs torch."""

    def __init__(self):
        self.calls, self.priors = [], []
        self.behave = lambda source: ()
        self.faults = ()

    def load_prior(self, name, device):
        self.priors.append((name, device))
        return "a prior"

    def restore_file(self, source, target, task, prior, settings, *, progress, engine, **options):
        self.calls.append((str(source), str(target), task, settings, options))
        return Report(source, target, 2.0, 3, self.behave(source), self.faults)


@pytest.fixture
def engine(tmp_path, monkeypatch, capsys):  # under capsys standard output is no terminal
    engine = Engine()
    monkeypatch.setitem(sys.modules, "restorer.prior", SimpleNamespace(load_prior=engine.load_prior))
    own = SimpleNamespace(room=1, most=None, check=lambda: None)
    own_engine = SimpleNamespace(OwnEngine=lambda prior, batch_size: own)
    monkeypatch.setitem(sys.modules, "restorer.restoration.batches", own_engine)
    monkeypatch.setitem(sys.modules, "restorer.restoration.job", SimpleNamespace(restore_file=engine.restore_file))
    monkeypatch.setitem(sys.modules, "restorer.cli.device", SimpleNamespace(choose_device=lambda word: f"<{word}>"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.safetensors").touch()
    return engine


def run(*words):
    return app.main([*words, "--prior", "tiny.safetensors"])


def test_the_first_example_mirrors_an_album(engine, tmp_path):
    for name in ("a.wav", "cd2/b.flac"):
        record(tmp_path / "album" / name)
    assert run("bwe", "album/", "--cutoff", "1k", "--out", "restored/") == 0
    assert sorted((call[:3] for call in engine.calls), key=lambda call: call[0]) == [
        ("album/a.wav", "restored/a.wav", BandwidthExtension(1000.0)),
        ("album/cd2/b.flac", "restored/cd2/b.flac", BandwidthExtension(1000.0)),
    ]
    assert len(engine.priors) == 1  # loaded once for all


def test_the_second_example_writes_beside_the_input(engine, tmp_path, capsys):
    record(tmp_path / "take.flac")
    assert run("declip", "take.flac", "--threshold", "0.3") == 0
    assert engine.calls[0][:4] == ("take.flac", "take.restored.flac", Declipping(0.3), DECLIP)
    said = capsys.readouterr()
    assert said.err.startswith("take.restored.flac: 2.0 s, 3 windows, in ")
    assert said.out == ""


def test_the_third_example_is_a_pipe(engine, capsys):
    assert run("inpaint", "--gap", "2.0-2.5", "-") == 0
    assert engine.calls[0][:4] == ("-", "-", Inpainting(((2.0, 2.5),)), INPAINT)
    assert capsys.readouterr().out == ""  # which carries nothing but sound


def test_gaps_may_be_repeated_and_are_merged(engine):
    assert run("inpaint", "-", "--gap", "1:02.5-1:03", "--gap", "2-3", "--gap", "2.5-4") == 0
    assert engine.calls[0][2] == Inpainting(((2.0, 4.0), (62.5, 63.0)))


def test_a_threshold_may_be_negative_decibels(engine):
    assert run("declip", "-", "--threshold", "-20dB") == 0
    assert engine.calls[0][2] == Declipping(0.1)


def test_options_replace_the_presets_values_and_nothing_else(engine):
    words = ["--guidance", "dc+rg", "--steps", "7", "--sampler", "heun", "--xi", "0.5"]
    assert run("bwe", "-", "--cutoff", "3000", *words) == 0
    assert run("bwe", "-", "--cutoff", "3000", "--steps", "9") == 0
    by_prior = replace(BWE, method="diffusion")  # which is who can be told how to sample
    assert engine.calls[0][3] == replace(by_prior, guidance="dc+rg", n_steps=7, sampler="heun", xi=0.5)
    assert engine.calls[1][3] == replace(by_prior, n_steps=9)


def test_the_method_is_passed_on(engine):
    assert run("inpaint", "-", "--gap", "2-3", "--method", "classical") == 0
    assert engine.calls[0][3] == replace(INPAINT, method="classical")


def test_repair_takes_any_of_the_damages_in_one_task(engine):
    assert run("repair", "-", "--cutoff", "4k", "--threshold", "0.5", "--gap", "2-2.1") == 0
    assert run("repair", "-", "--threshold", "0.5") == 0
    everything = Repair((BandwidthExtension(4000.0), Declipping(0.5), Inpainting(((2.0, 2.1),))))
    assert engine.calls[0][2:4] == (everything, BWE)
    assert engine.calls[1][2:4] == (Declipping(0.5), DECLIP)


def test_repair_finds_what_nobody_named(engine, capsys):
    assert run("repair", "-") == 2  # a stream cannot be heard twice
    assert "name a file" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["bwe", "declip", "inpaint"])
def test_the_damage_has_to_be_named(engine, capsys, command):
    assert run(command, "-") == 2
    assert "auto" in capsys.readouterr().err


def test_the_machine_and_the_seed_are_passed_on(engine):
    assert run("bwe", "-", "--cutoff", "1k") == 0
    words = ["--seed", "5", "--batch-size", "3", "--device", "cuda:1", "--overwrite"]
    assert run("bwe", "-", "--cutoff", "1k", *words) == 0
    plain = {"seed": 0, "batch_size": 8, "overwrite": False, "wanted": LIKE_INPUT, "raw": None, "verify": True,
             "kept": None}  # fmt: skip
    assert engine.calls[0][4] == plain
    assert engine.calls[1][4] == {**plain, "seed": 5, "batch_size": 3, "overwrite": True}
    assert engine.priors == [("tiny.safetensors", "<auto>"), ("tiny.safetensors", "<cuda:1>")]


def test_what_the_result_shall_be_is_passed_on(engine, tmp_path):
    words = ["--format", "flac", "--bits", "16", "--rate", "48k", "--clip-mode", "rescale", "--no-verify"]
    assert run("inpaint", "-", "--gap", "1-2", "--raw", "s24le:96000:2", *words) == 0
    options = engine.calls[0][4]
    assert options["wanted"] == Wanted("flac", "16", 48000, "rescale")
    assert options["raw"] == AudioFormat("RAW", "PCM_24", 96000, 2)
    assert options["verify"] is False


def test_a_broken_promise_is_said_even_when_quiet(engine, capsys):
    engine.faults = ("a promise",)
    assert run("bwe", "-", "--cutoff", "1k", "--quiet") == 1
    assert capsys.readouterr().err == "standard output: error: a promise\n"


def test_notes_go_to_standard_error_and_quiet_silences_them(engine, tmp_path, capsys):
    record(tmp_path / "take.wav")
    engine.behave = lambda source: ("a remark",)
    assert run("declip", "take.wav", "--threshold", "0.3") == 0
    assert "take.restored.wav: a remark\n" in capsys.readouterr().err
    assert run("declip", "take.wav", "--threshold", "0.3", "--quiet") == 0
    assert capsys.readouterr() == ("", "")


def failing(*bad):
    def behave(source):
        if source.name in bad:
            raise AudioError(f"{source} is damaged")
        return ()

    return behave


def test_one_bad_file_does_not_stop_the_others(engine, tmp_path, capsys):
    for name in ("a.wav", "b.wav", "c.wav"):
        record(tmp_path / "album" / name)
    (tmp_path / "album" / "d.wav").touch()
    engine.behave = failing("b.wav")
    assert run("bwe", "album", "--cutoff", "1k", "--quiet") == 3
    assert sorted(Path(call[0]).name for call in engine.calls) == ["a.wav", "b.wav", "c.wav"]
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("restorer: album/d.wav is empty")
    assert lines[1:] == ["restorer: album/b.wav is damaged", "restorer: 4 recordings: 2 restored, 2 failed"]


def test_a_single_bad_file_is_the_failure_of_all(engine, tmp_path, capsys):
    record(tmp_path / "a.wav")
    engine.behave = failing("a.wav")
    assert run("bwe", "a.wav", "--cutoff", "1k") == 1
    assert capsys.readouterr().err == "restorer: a.wav is damaged\n"


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "restorer: interrupted\n"),
        (OSError(28, "No space left on device", "out.wav"), 1, "restorer: out.wav: No space left on device\n"),
    ],
)
def test_what_ends_a_run_has_its_code_and_no_traceback(engine, capsys, error, code, said):
    def behave(source):
        raise error

    engine.behave = behave
    assert run("bwe", "-", "--cutoff", "1k") == code
    assert capsys.readouterr().err == said


def test_our_own_bugs_are_not_hidden(engine):
    engine.behave = lambda source: 1 / 0
    with pytest.raises(ZeroDivisionError):
        run("bwe", "-", "--cutoff", "1k")


def test_version_and_help_are_data_on_standard_output(capsys):
    assert app.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("restorer ")
    for words in ([], ["bwe"], ["weights"], ["weights", "import"], ["train"], ["bench"], ["bank"], ["generate"]):
        assert app.main([*words, "--help"]) == 0
        said = capsys.readouterr()
        assert said.out.startswith(f"Usage: {' '.join(['restorer', *words])} ")
        assert said.err == ""


def test_a_wrong_word_is_answered_in_one_line_with_the_way_to_help(capsys):
    assert app.main(["bwe", "--steps", "many", "a.wav", "--cutoff", "1k"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "'--steps'" in said
    assert said.endswith("; see `restorer bwe --help`\n")


def test_weights_are_listed_and_found_by_name(tmp_path, monkeypatch, capsys):
    from restorer import shipped

    (tmp_path / "organ-44k.safetensors").write_bytes(bytes(1_500_000))
    (tmp_path / f"{shipped.DEFAULT_PRIOR}.safetensors").touch()
    monkeypatch.setattr(shipped, "WEIGHTS", tmp_path)
    assert app.main(["weights", "list"]) == 0
    assert capsys.readouterr().out == "organ-44k  1.5 MB\npiano-44k  0.0 MB  (default)\n"
    assert shipped.find_weights("organ-44k") == tmp_path / "organ-44k.safetensors"


def test_training_gets_its_settings_and_its_data(tmp_path, monkeypatch):
    from restorer.prior import PRESETS
    from restorer.training import loop

    calls = []

    def train(settings, training, validation, out, **options):
        calls.append((settings, training(1000), validation(1000), out, options))
        options["report"]({"step": 1, "loss": 0.5})
        return out / "prior.safetensors"

    monkeypatch.setattr(loop, "train", train)
    for name in ("a.wav", "b.wav"):
        record(tmp_path / "music" / name)
    words = ["--steps", "5", "--preset", "cqtdiff-22k", "--seed", "3", "--workers", "0", "--device", "cpu"]
    out = tmp_path / "run"
    assert app.main(["train", "--recordings", str(tmp_path / "music"), "--out", str(out), *words]) == 0
    (settings, training, validation, folder, options), = calls  # fmt: skip
    assert (settings.preset, settings.steps, settings.seed, settings.workers) == ("cqtdiff-22k", 5, 3, 0)
    assert settings.minutes == float("inf")
    assert settings.batch_size == loop.TrainSettings().batch_size
    assert training.sample_rate == validation.sample_rate == PRESETS["cqtdiff-22k"].sample_rate
    assert training.seed != validation.seed
    assert {each.name for each in training.recordings}.isdisjoint(each.name for each in validation.recordings)
    assert folder == out
    assert not options["resume"]
    assert json.dumps(options["facts"])


def test_the_public_checkpoint_becomes_a_prior(tmp_path, capsys):
    import torch

    from restorer.network.cqtdiff import CqtDiff
    from restorer.prior import load_prior

    torch.manual_seed(0)
    network = CqtDiff()
    averages = [parameter.detach() + 1 for parameter in network.parameters()]
    torch.save({"step": 1, "model": network.state_dict(), "ema_weights": averages}, tmp_path / "cqt.pt")
    assert app.main(["weights", "import", str(tmp_path / "cqt.pt")]) == 0
    made = tmp_path / "cqt.safetensors"
    assert capsys.readouterr().out == f"{made}\n"
    prior = load_prior(made)
    assert prior.card.preset == "cqtdiff-22k"
    assert all(map(torch.equal, prior.denoiser.network.parameters(), averages))
    assert app.main(["weights", "info", str(made)]) == 0
    said = capsys.readouterr().out
    assert "preset: cqtdiff-22k\n" in said
    assert "sample_rate: 22050 Hz\n" in said
    facts = {"steps": 5, "training": {"steps": NO_LIMIT, "minutes": 5.0, "seed": 1}}
    prior.save(tmp_path / "learned.safetensors", facts)
    assert app.main(["weights", "info", str(tmp_path / "learned.safetensors")]) == 0
    assert capsys.readouterr().out.endswith("steps: 5\ntraining: {'minutes': 5.0, 'seed': 1}\n")
    assert app.main(["weights", "import", str(tmp_path / "cqt.pt")]) == 2  # it exists


@pytest.mark.parametrize(
    ("words", "told", "not_told"),
    [
        (["train"], "CUDA_VISIBLE_DEVICES", "cuda:1"),
        (["generate"], "--format", "the input"),
        (["bench"], "stft-22k", None),
        (["bench", "quality"], "onset_f1_midi", None),
        (["declip"], "declip alone", None),
    ],
)
def test_help_says_what_is_so(capsys, words, told, not_told):
    assert app.main([*words, "--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert told in said
    assert not_told is None or not_told not in said


def test_what_installs_a_missing_package_is_a_command_that_works(tmp_path, monkeypatch, capsys):
    (tmp_path / "bank").touch()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    words = ["--piano", str(tmp_path), "--bank", str(tmp_path / "bank"), "--steps", "1", "--out", str(tmp_path / "new")]
    assert app.main(["train", *words]) == 2
    assert "run `pip install -e '.[train]'` in the checkout" in capsys.readouterr().err
