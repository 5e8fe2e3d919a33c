"""On a GPU: the same music as on a CPU, as far as rounding lets it be, and the same promises.

Rounding: float32 sums come in another order on every device, and bfloat16, in which a GPU computes, keeps eight bits;
a sampler hands what that changes from step to step. So audio is compared by the norm of the difference, relative to
what was added to the recording.
"""

import csv
import json
import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from restorer.cli import app
from restorer.degradation.clip import HALF_STEP_16_BIT
from restorer.dsp.known import Known
from restorer.prior import Prior, load_prior
from restorer.restoration.engine import generate
from restorer.restoration.settings import GENERATE, preset_of
from restorer.restoration.stream import restore
from restorer.restoration.task import BandwidthExtension, Declipping, Inpainting, Repair, Task
from restorer.training.loop import train
from tests.test_training import SETTINGS, Notes, shrink

pytestmark = pytest.mark.gpu

MUFFLED = Path(__file__).parent / "data" / "muffled.flac"
RATE = 44100
CUTOFF_HZ, GAP_S, THRESHOLD = 1000.0, (0.8, 1.2), 0.1
HIGHS, GAP, PEAKS = BandwidthExtension(CUTOFF_HZ), Inpainting((GAP_S,)), Declipping(THRESHOLD)
TASKS: list[Task] = [HIGHS, GAP, PEAKS, Repair((HIGHS, PEAKS, GAP))]
NAMES = ["bwe", "inpaint", "declip", "repair"]


@pytest.fixture(scope="module")
def device() -> str:
    if not torch.cuda.is_available():
        pytest.skip("no GPU here")
    return "cuda"


@pytest.fixture(scope="module")
def exact(device: str) -> Prior:
    """On the device, in float32."""
    return in_dtype(load_prior(device=device), torch.float32)


@pytest.fixture(scope="module")
def fast(device: str) -> Prior:
    """On the device, as it is shipped: in bfloat16 where that has it."""
    return load_prior(device=device)


@pytest.fixture(scope="module")
def reference() -> Prior:
    return in_dtype(load_prior(device="cpu"), torch.float32)


@pytest.fixture(scope="module")
def on_cpu(reference: Prior) -> Callable[[Task], np.ndarray]:
    """Two seconds that the task restores, in float32."""
    return cache(lambda task: restored(reference, task, damaged(task, 2.0)))


@pytest.fixture(autouse=True)
def _no_tf32(monkeypatch):
    """Float32 is to mean it: by default cuDNN rounds what it multiplies to eleven bits."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def in_dtype(prior: Prior, dtype: torch.dtype) -> Prior:
    prior.denoiser.network.compute_dtype = dtype  # type: ignore[assignment]
    return prior


def notes(seconds: float) -> np.ndarray:
    """(frames,): a note of twenty partials every half second, that dies away; below 0.35 of full scale."""
    t = np.arange(round(seconds * RATE)) / RATE
    sound = np.zeros(len(t))
    for i in range(math.ceil(2 * seconds)):
        since = t - i / 2
        for k in range(1, 21):
            partial = np.sin(2 * np.pi * 220 * 2 ** (5 * i % 12 / 12) * k * since) * np.exp(-3 * k**0.5 * since)
            sound += np.where(since >= 0, partial / k, 0)
    return 0.3 * sound / np.abs(sound).max() + 1e-4 * np.random.default_rng(0).standard_normal(len(t))


def damaged(task: Task, seconds: float) -> np.ndarray:
    x = notes(seconds)
    parts = task.parts if isinstance(task, Repair) else (task,)
    if HIGHS in parts:
        spectrum = np.fft.rfft(x)
        spectrum[round(CUTOFF_HZ * seconds) :] = 0
        x = np.fft.irfft(spectrum, len(x))
    if PEAKS in parts:
        x = x.clip(-THRESHOLD, THRESHOLD)
    if GAP in parts:
        x[round(GAP_S[0] * RATE) : round(GAP_S[1] * RATE)] = 0
    return x


def restored(prior: Prior, task: Task, x: np.ndarray, *, batch_size: int = 8, n_steps: int = 4) -> np.ndarray:
    settings = replace(preset_of(task), n_steps=n_steps, method="diffusion")
    return restore(x, RATE, task, prior, settings, seed=1, batch_size=batch_size)


def apart(one: np.ndarray, other: np.ndarray, before: np.ndarray) -> float:
    """The norm of the difference, relative to what was added."""
    return float(np.linalg.norm(one - other) / np.linalg.norm(other - before))


@pytest.mark.parametrize("sigma", [0.03, 0.3, 3.0])
@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize(("prior", "tolerance"), [("exact", 1e-4), ("fast", 0.03)])
def test_the_denoiser_is_the_same(request, reference, prior, tolerance, told, sigma):
    """Float32: some thousand roundings of 6e-8. bfloat16: roundings of 0.4 % in two dozen layers; on a CPU 1.3 %
    from float32 at the highest of these levels, where nearly all comes from the network."""
    there = request.getfixturevalue(prior)
    random = torch.Generator().manual_seed(0)
    x = math.hypot(1, sigma) * torch.randn(1, there.length, generator=random)
    with torch.no_grad():
        expected, found = (
            prior(x, x.new_tensor([sigma]), Known(x.new_tensor([0.1]), torch.ones_like(x)) if told else None).cpu()
            for prior, x in ((reference, x), (there, x.to(there.device)))
        )
    assert found.dtype == torch.float32
    assert (found - expected).norm() <= tolerance * expected.norm()


@pytest.mark.parametrize("task", TASKS, ids=NAMES)
def test_what_was_sound_comes_back_untouched(fast, task):
    x = damaged(task, 2.0)
    y = restored(fast, task, x)
    assert np.isfinite(y).all()
    parts = task.parts if isinstance(task, Repair) else (task,)
    if HIGHS in parts:  # added through a crossover, which lets -80 dB through below nine tenths of the cutoff
        added, was = np.fft.rfft((y - x) * np.hanning(len(x))), np.fft.rfft(x * np.hanning(len(x)))
        assert np.linalg.norm(added[round(1.1 * CUTOFF_HZ * 2) :]) > 0
        if task == HIGHS:
            low = slice(0, round(0.85 * CUTOFF_HZ * 2))
            assert np.linalg.norm(added[low]) < 1e-3 * np.linalg.norm(was[low])
        return
    if task == GAP:
        first, stop = (round(edge_s * RATE) for edge_s in GAP_S)
        assert np.abs(y[first:stop]).max() > 0
        np.testing.assert_array_equal(
            np.delete(y, slice(first - 64, stop + 64)), np.delete(x, slice(first - 64, stop + 64))
        )
        return
    clipped = np.abs(x) >= THRESHOLD - HALF_STEP_16_BIT
    np.testing.assert_array_equal(y[~clipped], x[~clipped])
    assert (np.abs(y[clipped]) >= np.abs(x[clipped])).all()
    assert np.abs(y).max() > 1.2 * THRESHOLD


@pytest.mark.parametrize("task", TASKS, ids=NAMES)
@pytest.mark.parametrize(("prior", "tolerance"), [("exact", 2e-3), ("fast", 0.05)])
def test_the_same_seed_gives_about_the_same_as_on_a_cpu(request, on_cpu, task, prior, tolerance):
    """Noise is a function of the place, so that only rounding is left: on one CPU bfloat16 is 1 % from float32."""
    x = damaged(task, 2.0)
    there = restored(request.getfixturevalue(prior), task, x)
    assert apart(there, on_cpu(task), x) < tolerance


@pytest.mark.parametrize("task", [HIGHS, Inpainting((GAP_S, (4.0, 4.5), (7.1, 7.4)))], ids=["bwe", "inpaint"])
@pytest.mark.parametrize(("prior", "tolerance"), [("exact", 2e-3), ("fast", 0.05)])
def test_the_size_of_the_batch_does_not_matter(request, task, prior, tolerance):
    """But for rounding: libraries choose another way to convolve for every size."""
    there = request.getfixturevalue(prior)
    x = damaged(HIGHS, 8.0) if task == HIGHS else notes(8.0)
    alone, together = (restored(there, task, x, batch_size=size) for size in (1, 8))
    assert apart(together, alone, x) < tolerance
    np.testing.assert_array_equal(restored(there, task, x, batch_size=8), together)  # nothing is left to chance


@pytest.mark.parametrize("guidance", ["rg", "dc+rg"])
def test_guidance_finds_its_way_back_through_the_network(fast, reference, guidance):
    settings = replace(preset_of(HIGHS), n_steps=2, guidance=guidance)
    x = damaged(HIGHS, 2.0)
    there, here = (restore(x, RATE, HIGHS, prior, settings, seed=1) for prior in (fast, reference))
    assert apart(there, here, x) < 0.1  # bfloat16, there and back: 0.03 on one CPU


def test_the_prior_plays_the_same_music(exact, reference):
    settings = replace(GENERATE, n_steps=3)
    there, here = (torch.cat(list(generate(prior, 1.0, settings, seed=3))).cpu() for prior in (exact, reference))
    assert (there - here).norm() < 0.01 * here.norm()


def test_the_commands_restore_and_play(device, tmp_path, capsys):
    """Two recordings at once, whose threads share the device; what was sound is verified by the command itself."""
    samples, rate = soundfile.read(MUFFLED)
    for name in ("one.flac", "two.flac"):
        soundfile.write(tmp_path / name, samples[: 3 * rate], rate)
    out = tmp_path / "restored"
    words = ["bwe", tmp_path / "one.flac", tmp_path / "two.flac", "--cutoff", "1k", "--steps", "3", "--out", out]
    assert app.main([*map(str, words), "--device", device, "--jobs", "2"]) == 0
    one, two = (soundfile.read(out / name)[0] for name in ("one.flac", "two.flac"))
    assert len(one) == 3 * rate
    assert np.abs(one - samples[: 3 * rate]).max() > 1e-4
    assert np.abs(one - two).max() < 0.1 * np.abs(one).max()  # they may have shared batches of other sizes
    assert app.main(["generate", "1", "--steps", "2", "--device", device, "--out", str(tmp_path / "played.wav")]) == 0
    assert soundfile.info(tmp_path / "played.wav").frames == RATE
    capsys.readouterr()
    bench = ["bench", "--task", "bwe", "--guidance", "dc", "--steps", "2", "--repeat", "1", "--json"]
    assert app.main([*bench, "--batch-size", "1", "--batch-size", "4", "--device", device]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["device"]
    assert [row["batch_size"] for row in said["timings"]] == [1, 4]
    assert all(row["peak_memory_mib"] > 10 and row["times_real_time"] > 0 for row in said["timings"])


def test_a_training_goes_on_where_it_is_carried(device, tmp_path, monkeypatch):
    """Three steps here and three there, either way, learn about what six on a CPU do: data and noise are the same, and
    Muon's rounding, to eight bits, is forgiven by the loss."""
    shrink(monkeypatch)
    straight = validation(tmp_path / "straight", ["cpu"])
    for way, places in enumerate(([device, "cpu"], ["cpu", device], [device, device])):
        assert validation(tmp_path / str(way), places) == pytest.approx(straight, rel=0.05)


def validation(out: Path, places: list[str]) -> float:
    """The loss after six steps, divided among the devices."""
    for i, place in enumerate(places):
        steps = 6 * (i + 1) // len(places)
        train(replace(SETTINGS, steps=steps, device=place), Notes, Notes, out, resume=i > 0)
    with (out / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [6 * (i + 1) // len(places) for i in range(len(places))]
    losses = [float(value) for name, value in rows[-1].items() if name.startswith("validation")]
    assert len(losses) > 1
    return float(np.mean(losses))
