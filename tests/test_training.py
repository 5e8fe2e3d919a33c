"""Training: it learns, it goes on where it was, it refuses what is not its own, and several processes learn as one."""

import csv
import math
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from restorer.errors import UsageError, WeightsError
from restorer.network.layers import Conv
from restorer.network.octave import OctaveNet
from restorer.prior import PRESETS, load_prior, new_prior, read_card
from restorer.training import loop, optimizer, state
from restorer.training.loop import Excerpts, TrainSettings, average_into, rate_share, train
from restorer.training.objective import (
    CUTOFFS,
    GAPS,
    OCTAVES,
    VALIDATION_LEVELS,
    Objective,
    brought_to_level,
    draw,
    draw_known,
    octaves_alike,
    validate,
)
from restorer.training.spectrum import mean_spectrum
from tests.tiny_network import TINY_PRESET, tiny_taps

SETTINGS = TrainSettings(
    "tiny", steps=6, batch_size=4, workers=0, warmup_steps=2, validation_windows=3, checkpoint_minutes=math.inf
)
CPU = torch.device("cpu")
VALIDATED = [*map(str, VALIDATION_LEVELS), "highs_1.0", "highs_3.0", "gap_1.0", "gap_3.0"]
WORKER = """
import sys
from pathlib import Path
from dataclasses import replace
from tests import test_training as t
t.shrink(t.pytest.MonkeyPatch())
t.train(replace(t.SETTINGS, steps=1), t.Notes, t.Notes, Path(sys.argv[1]))
"""


class Notes:
    """Two decaying sines; every fifth excerpt is silent."""

    def __init__(self, length: int) -> None:
        self.length = length

    def excerpt(self, index: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        if index % 5 == 4:
            return np.zeros(self.length, np.float32)
        random = np.random.default_rng(index)
        t = np.arange(self.length) / 8000
        notes = [
            10 ** random.uniform(-2, 0) * np.exp(-t * random.uniform(1, 9)) * np.sin(2 * np.pi * pitch * t)
            for pitch in random.uniform(100, 2000, size=2)
        ]
        return np.asarray(sum(notes), np.float32)


class Silence(Notes):
    def excerpt(self, index: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        return np.zeros(self.length, np.float32)


class Clock:
    """Every look at it is half a minute later: a step takes a minute."""

    now = 0.0

    def monotonic(self) -> float:
        self.now += 30
        return self.now


def interrupted_at(step: int) -> Callable[[int], Excerpts]:
    """Notes, until someone presses Ctrl-C while the data of that step are made."""

    heard = 0

    class Interrupted(Notes):
        def excerpt(self, index: int) -> np.ndarray[Any, np.dtype[np.float32]]:
            nonlocal heard
            heard += 1
            if heard > state.HEARD_FIRST * 9 // 8 and index >= step * SETTINGS.batch_size:
                raise KeyboardInterrupt
            return super().excerpt(index)

    return Interrupted


def shrink(patch: pytest.MonkeyPatch) -> None:
    """A tiny preset, a short equaliser from few excerpts."""
    patch.setitem(PRESETS, "tiny", TINY_PRESET)
    patch.setattr(state, "N_TAPS", 255)
    patch.setattr(state, "HEARD_FIRST", 16)


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    shrink(monkeypatch)


def rows(out: Path) -> list[dict[str, float]]:
    with (out / "log.csv").open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def same(one: Any, other: Any) -> bool:
    """Equality to the bit of what a state holds."""
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def read_state(out: Path) -> dict[str, Any]:
    saved: dict[str, Any] = torch.load(out / "state.pt", weights_only=True)
    del saved["elapsed_s"]
    return saved


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """A training of six steps, without interruption."""
    out = tmp_path_factory.mktemp("straight")
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        reported: list[dict[str, float]] = []
        made = train(SETTINGS, Notes, Notes, out, facts={"data": "notes"}, report=reported.append)
    assert made == out / "prior.safetensors"
    assert len(reported) == 1
    return out


def test_it_learns(tmp_path, straight):
    """The loss falls below 0.9 of its start within 60 steps, on windows that it has not seen."""

    def loss(steps: int, out: Path) -> float:
        train(replace(SETTINGS, steps=steps, muon_rate=0.15, adam_rate=0.02), Notes, lambda n: Later(n), out)
        return float(np.mean([rows(out)[-1][f"validation_{level}"] for level in (0.1, 0.3, 1.0)]))

    class Later(Notes):
        def excerpt(self, index: int) -> np.ndarray[Any, np.dtype[np.float32]]:
            return super().excerpt(10_000 + index)

    assert loss(60, tmp_path / "long") < 0.9 * loss(1, tmp_path / "short")


def test_a_training_leaves_weights_state_and_log_and_nothing_else(straight):
    assert sorted(path.name for path in straight.iterdir()) == ["log.csv", "prior.safetensors", "state.pt"]
    (row,) = rows(straight)
    assert row["step"] == 6
    assert row["minutes"] > 0
    assert all(math.isfinite(value) for value in row.values())
    assert [name for name in row if name.startswith("validation")] == [f"validation_{v}" for v in VALIDATED]


def test_the_weights_are_the_averaged_ones_and_say_how_they_were_made(straight):
    prior, saved = load_prior(straight / "prior.safetensors"), read_state(straight)
    assert same(dict(prior.state_dict()), dict(saved["average"]))
    assert not same(dict(saved["prior"]), dict(saved["average"]))
    facts = read_card(straight / "prior.safetensors").facts
    assert facts["data"] == "notes"
    assert facts["steps"] == 6
    assert facts["hours"] > 0
    assert facts["training"]["batch_size"] == 4
    assert facts["training"]["minutes"] == "inf"  # which JSON has no number for
    assert facts["validation_loss"]["0.1"] == pytest.approx(rows(straight)[0]["validation_0.1"])


@pytest.mark.parametrize("workers", [0, 1])
def test_resuming_goes_on_exactly(tmp_path, straight, workers):
    """Three steps, an interruption and three more are six steps: weights, average and optimizer, to the bit."""
    eager = replace(SETTINGS, checkpoint_minutes=0, workers=0)
    with pytest.raises(KeyboardInterrupt):
        train(eager, interrupted_at(3), Notes, tmp_path)
    assert read_state(tmp_path)["step"] == 3
    assert load_prior(tmp_path / "prior.safetensors").card.facts["steps"] == 3
    train(replace(SETTINGS, workers=workers), Notes, Notes, tmp_path, resume=True)
    assert same(read_state(tmp_path), read_state(straight))
    assert list(tmp_path.glob(".*.partial")) == []
    assert [row["step"] for row in rows(tmp_path)] == [1, 2, 3, 6]  # a row per checkpoint, in one table


def test_time_counts_on_after_resuming(tmp_path, monkeypatch):
    """The budget in minutes is that of the whole training."""

    monkeypatch.setattr(loop, "time", Clock())
    settings = replace(SETTINGS, steps=2**62, minutes=5.0, batch_size=1, validation_windows=1)
    train(settings, Notes, Notes, tmp_path)
    first = rows(tmp_path)[-1]
    assert 4 <= first["step"] <= 7
    assert 5 <= first["minutes"] <= 6
    train(replace(settings, minutes=9.0), Notes, Notes, tmp_path, resume=True)
    second = rows(tmp_path)[-1]
    assert 3 <= second["step"] - first["step"] <= 5
    assert 9 <= second["minutes"] <= 10


def test_checkpoints_come_by_the_clock(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "time", Clock())
    settings = replace(SETTINGS, steps=7, batch_size=1, validation_windows=1, checkpoint_minutes=2.5)
    reported: list[dict[str, float]] = []
    train(settings, Notes, Notes, tmp_path, report=reported.append)
    assert [row["step"] for row in reported] == [3, 6, 7]
    assert reported == [pytest.approx(row) for row in rows(tmp_path)]


def test_the_log_says_how_much_was_computed_a_second(tmp_path, monkeypatch):
    """By the clock of the log itself: a checkpoint, an interruption and its pause count alike."""
    monkeypatch.setattr(loop, "time", Clock())
    settings = replace(SETTINGS, steps=7, batch_size=2, validation_windows=1, checkpoint_minutes=2.5)
    reported: list[dict[str, float]] = []
    train(settings, Notes, Notes, tmp_path, report=reported.append)
    train(replace(settings, steps=9), Notes, Notes, tmp_path, resume=True, report=reported.append)
    work = 2 * loop.operations(new_prior("tiny", tiny_taps()))
    steps = np.diff([0, *(row["step"] for row in reported)])
    seconds = 60 * np.diff([0, *(row["minutes"] for row in reported)])
    assert [row["tflop_a_s"] for row in reported] == pytest.approx(steps * work / seconds / 1e12, rel=1e-9)


def test_operations_are_those_of_the_convolutions_forward_and_back():
    """Counted by hand: two for each weight at each point it is applied to, three times."""
    prior, counted = new_prior("tiny", tiny_taps()), 0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal counted
        assert isinstance(module, Conv)
        counted += 2 * module.weight.numel() * output.shape[2] * output.shape[3]

    for module in prior.modules():
        if isinstance(module, Conv):
            module.register_forward_hook(count)
    told = loop.operations(prior)
    assert told == pytest.approx(3 * counted, rel=0.02)  # beside them, the noise embedding


def test_a_log_keeps_the_columns_that_it_began_with(tmp_path, straight):
    for name in ("state.pt", "log.csv", "prior.safetensors"):
        (tmp_path / name).write_bytes((straight / name).read_bytes())
    old = rows(straight)[0]
    del old["tflop_a_s"]
    with (tmp_path / "log.csv").open("w", newline="") as file:
        csv.writer(file).writerows([old.keys(), old.values()])
    train(replace(SETTINGS, steps=7), Notes, Notes, tmp_path, resume=True)
    first, second = rows(tmp_path)
    assert first == old
    assert second.keys() == old.keys()
    assert second["step"] == 7


def test_a_finished_training_is_left_as_it_is(tmp_path, straight):
    for name in ("state.pt", "log.csv", "prior.safetensors"):
        (tmp_path / name).write_bytes((straight / name).read_bytes())
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert train(SETTINGS, Notes, Notes, tmp_path, resume=True) == tmp_path / "prior.safetensors"
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_silence_alone_breaks_nothing(tmp_path):
    train(replace(SETTINGS, steps=2, batch_size=2), Silence, Silence, tmp_path)
    assert all(math.isfinite(value) for value in rows(tmp_path)[0].values())
    assert all(
        torch.isfinite(value).all() for value in load_prior(tmp_path / "prior.safetensors").state_dict().values()
    )


def test_convolutions_stay_at_unit_variance(straight):
    prior = new_prior("tiny", tiny_taps())
    prior.load_state_dict(read_state(straight)["prior"])
    for module in prior.modules():
        if isinstance(module, Conv):
            power = module.weight.detach().square().mean(dim=1)
            torch.testing.assert_close(power, torch.ones_like(power), rtol=1e-5, atol=0)


def test_it_begins_with_given_weights(straight):
    made = straight / "prior.safetensors"
    begun = state.begin(SETTINGS, Silence, torch.device("cpu"), made)
    given = load_prior(made).state_dict()
    assert same(dict(begun.prior.state_dict()), dict(given))  # the equaliser too, not one of these data
    assert same(dict(begun.average.state_dict()), dict(given))
    assert all(parameter.requires_grad for parameter in begun.prior.parameters())
    assert not any(parameter.requires_grad for parameter in begun.average.parameters())
    assert (begun.step, begun.elapsed_s) == (0, 0)


def hiss(highs: float) -> type[Notes]:
    """White noise, from 1 kHz on times `highs`."""

    class Hiss(Notes):
        def excerpt(self, index: int) -> np.ndarray[Any, np.dtype[np.float32]]:
            spectrum = np.fft.rfft(np.random.default_rng(index).standard_normal(self.length))
            spectrum[np.fft.rfftfreq(self.length, 1 / 8000) > 1000] *= highs
            return np.fft.irfft(spectrum, self.length).astype(np.float32)

    return Hiss


def test_noise_floors_are_those_of_the_recordings_also_where_the_weights_are_given(tmp_path):
    begun = state.begin(SETTINGS, hiss(1.0), torch.device("cpu"), None).prior
    torch.testing.assert_close(begun.floors.mean, torch.zeros(15, dtype=torch.float64), rtol=0, atol=1.5)
    begun.save(tmp_path / "given.safetensors", {})
    again = state.begin(SETTINGS, hiss(0.1), torch.device("cpu"), tmp_path / "given.safetensors").prior
    assert torch.equal(again.whitening.taps, begun.whitening.taps)
    torch.testing.assert_close(again.floors.mean[11:], torch.full((4,), -20.0, dtype=torch.float64), rtol=0, atol=1.5)


def test_what_has_learned_already_learns_more_slowly_and_goes_on_so(tmp_path, straight):
    """Its rates are kept with the state: resuming, which names no first weights, does not raise them."""
    made = straight / "prior.safetensors"
    train(replace(SETTINGS, steps=3), Notes, Notes, tmp_path, init=made)
    first, last = rows(tmp_path)
    assert (first["step"], last["step"]) == (0, 3)
    assert math.isnan(first["loss"])
    assert first["validation_0.1"] == pytest.approx(
        rows(straight)[0]["validation_0.1"]
    )  # the given weights, as they are
    for folder, pace in ((tmp_path, state.FINE_TUNING_PACE), (straight, 1.0)):
        awaited = {"muon_rate": pace * SETTINGS.muon_rate, "adam_rate": pace * SETTINGS.adam_rate}
        assert read_card(folder / "prior.safetensors").facts["training"].items() >= awaited.items()
        resumed = state.load(SETTINGS, folder / "state.pt", torch.device("cpu"))
        assert optimizer.rates(resumed.optimizers) == awaited


def test_goes_on_with_another_size_of_batch(tmp_path, straight):
    """A training that began on one machine may go on on another, which holds more windows or fewer."""
    for name in ("state.pt", "log.csv", "prior.safetensors"):
        (tmp_path / name).write_bytes((straight / name).read_bytes())
    train(replace(SETTINGS, steps=8, batch_size=2), Notes, Notes, tmp_path, resume=True)
    assert [row["step"] for row in rows(tmp_path)] == [6, 8]
    assert all(math.isfinite(value) for value in rows(tmp_path)[-1].values())


def test_random_weights_are_a_function_of_the_seed():
    def begun(seed: int) -> dict[str, Tensor]:
        return dict(state.begin(replace(SETTINGS, seed=seed), Notes, torch.device("cpu"), None).prior.state_dict())

    assert same(begun(1), begun(1))
    assert not same(begun(1), begun(2))


def test_refuses_weights_of_another_preset_to_begin_with(straight):
    with pytest.raises(WeightsError, match="is of preset tiny, not harmonic-44k"):
        state.begin(
            replace(SETTINGS, preset="harmonic-44k"), Notes, torch.device("cpu"), straight / "prior.safetensors"
        )


def test_refuses_a_folder_that_holds_a_training(straight):
    before = {path.name: path.read_bytes() for path in straight.iterdir()}
    with pytest.raises(UsageError, match="holds a training; go on with --resume, or choose another folder"):
        train(SETTINGS, Notes, Notes, straight)
    assert {path.name: path.read_bytes() for path in straight.iterdir()} == before


def test_refuses_to_resume_nothing(tmp_path):
    with pytest.raises(UsageError, match=r"state\.pt is missing: nothing to resume"):
        train(SETTINGS, Notes, Notes, tmp_path / "new", resume=True)
    assert not (tmp_path / "new").exists()


def test_a_state_that_cannot_be_written_leaves_the_one_before(tmp_path, straight, monkeypatch):
    (tmp_path / "state.pt").write_bytes(b"before")
    begun = state.load(SETTINGS, straight / "state.pt", torch.device("cpu"))
    with pytest.raises(WeightsError, match=r"/proc/state\.pt cannot be written .*; make room, and go on with --resume"):
        state.save(begun, "tiny", Path("/proc/state.pt"))

    def full(saved, path):
        path.write_bytes(b"half a fi")
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 704 vs 598")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(WeightsError, match=r"state\.pt cannot be written"):
        state.save(begun, "tiny", tmp_path / "state.pt")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("state.pt", b"before")]


@pytest.mark.parametrize("content", [b"", b"garbage", None], ids=["empty", "garbage", "truncated"])
def test_refuses_a_damaged_state(tmp_path, straight, content):
    whole = (straight / "state.pt").read_bytes()
    (tmp_path / "state.pt").write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(WeightsError, match=r"state\.pt is no readable state of a training") as caught:
        train(SETTINGS, Notes, Notes, tmp_path, resume=True)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("content", [{"step": 1}, [1, 2], torch.ones(3)], ids=["dict", "list", "tensor"])
def test_refuses_the_state_of_something_else(tmp_path, content):
    torch.save(content, tmp_path / "state.pt")
    with pytest.raises(WeightsError, match=r"state\.pt is no state of a training"):
        train(SETTINGS, Notes, Notes, tmp_path, resume=True)


def test_refuses_the_state_of_another_version(tmp_path, straight):
    """Whose weights would fit, and mean something else."""
    saved = torch.load(straight / "state.pt", weights_only=True)
    del saved["format"]
    torch.save(saved, tmp_path / "state.pt")
    with pytest.raises(WeightsError, match="is a training of another version than restorer-prior-5; start without"):
        train(SETTINGS, Notes, Notes, tmp_path, resume=True)


def test_refuses_the_state_of_another_preset(straight):
    with pytest.raises(WeightsError, match="trains preset tiny, not harmonic-44k; name that one"):
        train(replace(SETTINGS, preset="harmonic-44k"), Notes, Notes, straight, resume=True)


def test_refuses_the_state_of_another_network(tmp_path, straight):
    saved = torch.load(straight / "state.pt", weights_only=True)
    saved["prior"]["denoiser.network.loudness"] = torch.ones(17)
    torch.save(saved, tmp_path / "state.pt")
    with pytest.raises(WeightsError, match=r"does not fit preset tiny of this version: .*loudness") as caught:
        train(SETTINGS, Notes, Notes, tmp_path, resume=True)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("budget", [{"minutes": 0.0}, {"steps": 0}, {"minutes": -1.0}, {"minutes": math.nan}])
def test_refuses_a_budget_of_nothing(budget):
    with pytest.raises(UsageError, match="would learn nothing; give more than 0"):
        TrainSettings(**budget)


def test_refuses_a_batch_that_the_processes_cannot_share():
    with pytest.raises(UsageError, match="a batch of 4 cannot be shared evenly by 3 processes"):
        loop._batches(Notes(8000), SETTINGS, 0, 0, 3, CPU)


def test_processes_share_the_excerpts_of_a_step():
    parts = [next(loop._batches(Notes(100), SETTINGS, 5, rank, 2, CPU)) for rank in (0, 1)]
    together = next(loop._batches(Notes(100), SETTINGS, 5, 0, 1, CPU))
    assert torch.equal(torch.cat(parts), together)
    assert torch.equal(together[0], torch.from_numpy(Notes(100).excerpt(5 * 4)))


class Instrument(Notes):
    """It is played on the device."""

    def prepared(self, indices: Sequence[int]) -> list[int]:
        return [-index for index in indices]

    def studio(self, device: torch.device) -> Callable[[list[int]], Tensor]:
        return lambda prepared: torch.tensor(prepared)


@pytest.mark.parametrize("workers", [0, 2])
def test_what_a_device_can_play_it_plays_from_what_others_prepare(workers):
    elsewhere = torch.device("meta")
    batches = loop._batches(Instrument(100), replace(SETTINGS, workers=workers), 5, 1, 2, elsewhere)
    assert [next(batches).tolist() for _ in range(3)] == [[-22, -23], [-26, -27], [-30, -31]]
    on_cpu = next(loop._batches(Instrument(100), SETTINGS, 5, 1, 2, CPU))
    assert torch.equal(on_cpu[0], torch.from_numpy(Notes(100).excerpt(22)))


@pytest.mark.parametrize("found", [True, False])
def test_convolutions_are_fused_where_something_can_compile_them(monkeypatch, found):
    asked = []
    monkeypatch.setattr(OctaveNet, "compile", lambda network: asked.append(network))
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    monkeypatch.setattr(loop, "find_spec", lambda name: name)
    monkeypatch.setattr("shutil.which", lambda name: name if found and name == "gcc" else None)
    prior = new_prior("harmonic-44k")
    loop._make_fast(prior)
    assert asked == ([prior.denoiser.network] if found else [])


@pytest.mark.slow
def test_two_processes_learn_from_the_mean_of_their_gradients(tmp_path):
    """The optimizers' moments after a step from zero: a twentieth (Muon), a tenth (Adam) of the gradient, clipped."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    root = Path(__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, str(script), str(tmp_path / "out")],
        env=environment, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Grad strides" not in done.stderr
    saved = read_state(tmp_path / "out")

    begun = state.begin(SETTINGS, Notes, torch.device("cpu"), None)
    objective = Objective(begun.prior, SETTINGS)
    for rank in (0, 1):
        notes = Notes(4096 + 2 * begun.prior.whitening.margin)
        excerpts = torch.from_numpy(np.stack([notes.excerpt(2 * rank + i) for i in range(2)]))
        (objective(excerpts, *draw(SETTINGS.seed, 0, rank, 2, 4096)) / 2).backward()
    nn.utils.clip_grad_norm_(begun.prior.parameters(), SETTINGS.clip_norm)
    kinds = (("momentum_buffer", 0.05), ("exp_avg", 0.1))
    for (kind, share), kept, made in zip(kinds, saved["optimizers"], begun.optimizers, strict=True):
        (group,) = made.param_groups
        for i, parameter in enumerate(group["params"]):
            awaited = share * parameter.grad
            # float32 sums in another order; where a gradient is nought it is nought
            assert float((kept["state"][i][kind] - awaited).norm()) <= 1e-4 * float(awaited.norm()), (kind, i)


def test_drawn_numbers_are_a_function_of_seed_step_and_process():
    def drawn(seed: int, step: int, rank: int) -> list[Tensor]:
        *numbers, known = draw(seed, step, rank, 20, 100)
        return [*numbers, known.below, known.where]

    first = drawn(0, 1, 0)
    assert [each.shape for each in first] == [(20,), (20,), (20, 100), (20,), (20, 100)]
    assert all(map(torch.equal, first, drawn(0, 1, 0)))
    for other in ((1, 1, 0), (0, 2, 0), (0, 1, 1)):
        assert not any(map(torch.equal, first, drawn(*other)))
    uniform = torch.cat([draw(0, step, 0, 8, 1)[0] for step in range(100)])
    assert 0 < float(uniform.min()) < 0.02
    assert 0.98 < float(uniform.max()) < 1


def test_every_octave_of_white_noise_counts_alike():
    power = octaves_alike(2**14).square()
    assert float(power.mean()) == pytest.approx(1)
    edges = [2**13 // 2**n for n in range(OCTAVES)]
    octaves = torch.stack([power[edge // 2 : edge].sum() for edge in edges])
    assert octaves[:-1] / octaves[0] == pytest.approx(torch.ones(OCTAVES - 1), rel=0.03)  # bins, not a continuum


def test_of_windows_nothing_is_known_or_the_lows_or_all_but_a_span_or_both():
    known = draw_known(torch.Generator().manual_seed(0), 4000, 400)
    assert set(known.where.unique().tolist()) == {0.0, 1.0}
    nothing = ~known.where.any(-1)
    lows, span = known.below < 1, ~known.where.all(-1) & ~nothing
    shares = [kind.double().mean() for kind in (nothing, lows & ~span, span & ~lows, span & lows)]
    # of 4000 draws, 0.7 % at most is chance; a span of all but nothing may also be all of a window
    assert shares == pytest.approx([0.30, 0.35, 0.27, 0.08], abs=0.03)
    assert CUTOFFS[0] <= known.below[lows].min() < 2 * CUTOFFS[0]
    assert CUTOFFS[1] / 2 < known.below[lows].max() <= CUTOFFS[1]
    lost = 1 - known.where[span]
    assert lost.diff(dim=-1).abs().sum(-1).max() <= 2  # one span, maybe cut off by an end
    share = lost.mean(-1)
    assert GAPS[0] / 2 - 0.01 <= share.min() < GAPS[0] + 0.01
    assert share.max() > 0.8 * GAPS[1]
    assert 0.4 < (lost * torch.linspace(0, 1, 400)).sum() / lost.sum() < 0.6  # anywhere


def test_the_learning_rates_warm_up_stay_and_fall_to_nothing():
    settings = TrainSettings(warmup_steps=10, decay_share=0.25)
    assert [rate_share(settings, step, 0.0) for step in (0, 4, 9, 10, 500)] == pytest.approx([0.1, 0.5, 1, 1, 1])
    assert [rate_share(settings, 500, p) for p in (0.5, 0.75, 0.875, 1)] == pytest.approx([1, 1, 0.5, 0])
    assert rate_share(settings, 4, 0.875) == pytest.approx(0.25)  # a short training does both at once


@pytest.mark.parametrize("shape", [0.0, 6.94, 16.97])
def test_the_average_weighs_by_a_power_of_time(shape):
    """Step s of t weighs the integral of u**shape from s - 1 to s, over that from 0 to t."""
    network, average = nn.Linear(3, 2).double(), nn.Linear(3, 2).double()
    random, history = torch.Generator().manual_seed(0), []
    for step in range(1, 31):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.normal_(generator=random)
        average_into(average, network, step, shape)
        history.append(network.weight.detach().clone())
        ends = torch.arange(step + 1, dtype=torch.float64) ** (shape + 1)
        weights = ends.diff() / ends[-1]
        expected = sum(float(w) * past for w, past in zip(weights, history, strict=True))
        torch.testing.assert_close(average.weight.detach(), expected, rtol=0, atol=1e-12)


def test_windows_are_brought_to_the_priors_level_and_silence_stays():
    prior = new_prior("tiny", tiny_taps())
    x = torch.randn(3, 4096, generator=torch.Generator().manual_seed(0)) * torch.tensor([[1e-3], [0.0], [50.0]])
    there = brought_to_level(prior, x)
    torch.testing.assert_close(prior.level(there), torch.tensor([[1.0], [0.0], [1.0]]), rtol=1e-5, atol=0)
    assert not there[1].any()


def test_validation_of_a_network_that_says_nothing_is_one():
    prior = new_prior("tiny", tiny_taps())
    network = prior.denoiser.network
    assert isinstance(network, OctaveNet)
    with torch.no_grad():
        network.loudness.zero_()
    windows = torch.randn(9, 4096, generator=torch.Generator().manual_seed(100))  # no level's noise
    losses = validate(prior, windows)
    assert list(losses) == VALIDATED
    *most, last = losses.values()
    assert most == pytest.approx([1] * (len(VALIDATED) - 1), abs=0.05)  # 36864 squares, for a gap a quarter: to 1.5 %
    assert 0.6 < last < 1  # at level 3 so short a gap does not tell how loud it is, and counts less
    assert validate(prior, windows) == losses
    prior.told = False  # a network that cannot be told what is known is not asked
    assert list(validate(prior, windows)) == [str(level) for level in VALIDATION_LEVELS]


def sixteen(excerpts: Excerpts) -> list[np.ndarray[Any, np.dtype[np.float32]]]:
    return [excerpts.excerpt(index) for index in range(16)]


def test_the_mean_spectrum_of_white_noise_is_flat_and_deaf_to_gain():
    class White(Notes):
        def excerpt(self, index: int) -> np.ndarray[Any, np.dtype[np.float32]]:
            random = np.random.default_rng(index)
            return (10.0 ** random.uniform(-3, 0) * random.standard_normal(self.length)).astype(np.float32)

    power = 10 * np.log10(mean_spectrum(sixteen(White(4096)), 8000))
    assert power.shape == (2049,)
    # from 200 Hz on a third of an octave holds 20 bins, of 16 excerpts
    assert np.ptp(power[100:]) < 3


def test_silent_excerpts_do_not_count_in_the_mean_spectrum():
    class Mostly(Notes):
        def excerpt(self, index: int) -> np.ndarray[Any, np.dtype[np.float32]]:
            return super().excerpt(0 if index % 2 else 4)

    class Always(Notes):
        def excerpt(self, index: int) -> np.ndarray[Any, np.dtype[np.float32]]:
            return super().excerpt(0)

    mostly, always = (mean_spectrum(sixteen(kind(4096)), 8000) for kind in (Mostly, Always))
    np.testing.assert_allclose(mostly, always, rtol=1e-9)
    assert np.isfinite(mean_spectrum(sixteen(Silence(4096)), 8000)).all()
    assert always.argmax() == pytest.approx(np.abs(np.fft.rfft(Notes(4096).excerpt(0))).argmax(), rel=0.2)


def test_settings_do_not_wait_for_torch():
    code = "import sys, restorer.training.settings; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])
