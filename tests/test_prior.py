"""Weights on disk and the denoiser that they become: to the bit there and back; what is no prior is refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

import restorer.prior
import restorer.shipped
from restorer.errors import RestorerError, UsageError, WeightsError
from restorer.network.octave import OctaveNet
from restorer.prior import FORMAT, PRESETS, Audible, Prior, fast_dtype, load_prior, new_prior, read_card
from tests.tiny_network import TINY_PRESET, tiny_taps

FACTS = {"steps": 12, "hours": 0.25, "data": "ä piano", "validation_loss": {"0.1": 0.5}, "banks": ["one", "two"]}


@pytest.fixture(autouse=True)
def _presets(monkeypatch):
    monkeypatch.setitem(PRESETS, "tiny", TINY_PRESET)
    plain = replace(TINY_PRESET, name="plain", sigma_data=0.057, whitened=False)
    monkeypatch.setitem(PRESETS, "plain", plain)


@pytest.fixture
def prior() -> Prior:
    torch.manual_seed(0)
    return new_prior("tiny", tiny_taps())


@pytest.fixture
def saved(prior, tmp_path):
    path = tmp_path / "mine.safetensors"
    prior.save(path, FACTS)
    return path


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def refusal(path: object, kind: type[RestorerError] = WeightsError) -> str:
    """The message with which load_prior refuses, which is one line."""
    with pytest.raises(kind) as caught:
        load_prior(path)  # type: ignore[arg-type]
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def test_weights_come_back_to_the_bit(prior, saved):
    loaded = load_prior(saved)
    before, after = prior.state_dict(), loaded.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(before[name].dtype == after[name].dtype for name in before)
    network = loaded.denoiser.network
    assert isinstance(network, OctaveNet)
    network.compute_dtype = torch.float32
    x, sigma = noise(2, 4096), torch.tensor([0.1, 2.0])
    assert torch.equal(loaded(x, sigma), prior(x, sigma))
    assert torch.equal(loaded.whitening(x), prior.whitening(x))


def test_a_loaded_prior_is_ready_to_run(saved):
    loaded = load_prior(str(saved))
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert loaded.device == torch.device("cpu")
    assert (loaded.sample_rate, loaded.length, loaded.sigma_data) == (8000, 4096, 1.0)
    network = loaded.denoiser.network
    assert isinstance(network, OctaveNet)
    assert network.compute_dtype == fast_dtype(torch.device("cpu"))
    x = noise(1, 4096).requires_grad_()  # guidance differentiates by the signal all the same
    assert torch.autograd.grad(loaded(x, torch.ones(1)).sum(), x)[0].any()


def test_the_card_survives_under_the_name_of_the_file(saved):
    card = read_card(saved)
    assert (card.name, card.preset, card.facts) == ("mine", "tiny", FACTS)
    assert load_prior(saved).card == card


def test_saving_leaves_the_file_and_nothing_else(prior, saved):
    prior.save(saved, {})  # once more, over it
    assert [path.name for path in saved.parent.iterdir()] == ["mine.safetensors"]
    assert read_card(saved).facts == {}


def test_a_save_that_fails_leaves_the_file_before(prior, saved, monkeypatch):
    before = saved.read_bytes()

    def full(tensors, path, metadata):
        path.write_bytes(b"half a fi")
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(restorer.prior, "save_file", full)
    with pytest.raises(WeightsError, match=r"mine\.safetensors cannot be written \(I/O error: No space left"):
        prior.save(saved, {"steps": 13})
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == ["mine.safetensors"]


def test_refuses_a_place_where_no_weights_can_be_written(prior):
    with pytest.raises(WeightsError, match=r"^/proc/mine\.safetensors cannot be written .*; choose another place"):
        prior.save(Path("/proc/mine.safetensors"), {})


def test_shipped_weights_load_by_name(saved, monkeypatch):
    monkeypatch.setattr(restorer.shipped, "WEIGHTS", saved.parent)
    assert load_prior("mine").card.facts == FACTS
    assert read_card("mine").name == "mine"


def test_refuses_a_name_that_is_not_shipped_and_says_what_is(saved, monkeypatch, tmp_path):
    monkeypatch.setattr(restorer.shipped, "WEIGHTS", saved.parent)
    message = refusal("yours")
    assert "there is no prior 'yours'; shipped: mine;" in message
    assert "safetensors" in message
    monkeypatch.setattr(restorer.shipped, "WEIGHTS", tmp_path / "nowhere")
    assert "shipped: none" in refusal("yours")
    assert "there is no prior" in refusal(tmp_path)  # a folder


def test_refuses_a_checkpoint_and_says_how_to_import_it(tmp_path):
    path = tmp_path / "cqt_weights.pt"
    torch.save({"step": 1}, path)
    message = refusal(path)
    assert str(path) in message
    assert "restorer weights import" in message


@pytest.mark.parametrize("content", [b"", b"hello", b"\n" * 1000, bytes(100), b"\xff" * 100])
def test_refuses_what_is_not_safetensors(content, tmp_path):
    path = tmp_path / "text.safetensors"
    path.write_bytes(content)
    assert refusal(path).startswith(f"{path} is not a readable safetensors file")


@pytest.mark.parametrize("share", [0.0001, 0.5, 0.999])
def test_refuses_a_truncated_file(saved, share):
    content = saved.read_bytes()
    saved.write_bytes(content[: int(share * len(content))])
    assert f"{saved} is not a readable safetensors file" in refusal(saved)


def rewritten(path, metadata=None, drop=(), **tensors: Tensor) -> None:
    """The file at path with other metadata, without some tensors, with others."""
    with safe_open(path, framework="pt") as file:
        kept = {name: file.get_tensor(name) for name in file.keys() if name not in drop}  # noqa: SIM118
        metadata = {**file.metadata(), **(metadata or {})}
    save_file({**kept, **tensors}, path, metadata=metadata)


def test_refuses_safetensors_of_something_else(tmp_path):
    path = tmp_path / "other.safetensors"
    for metadata in (None, {"format": "pt"}):
        save_file({"weight": torch.ones(3)}, path, metadata=metadata)
        assert refusal(path).startswith(f"{path} holds no prior of restorer")
    save_file({"weight": torch.ones(3)}, path, metadata={"format": FORMAT, "card": "{}"})
    assert refusal(path).startswith(f"{path} holds no prior of restorer")  # no equaliser


def test_refuses_weights_of_another_version(saved):
    rewritten(saved, {"format": "restorer-prior-2"})
    assert refusal(saved).startswith(f"{saved} is of format restorer-prior-2, this version's is {FORMAT}; train or")


@pytest.mark.parametrize("card", ["", "[1, 2]", "{}", '{"name": "x"}', '{"name": 1, "preset": "tiny", "more": 2}', "{"])
def test_refuses_an_unreadable_card(saved, card):
    rewritten(saved, {"card": card})
    assert refusal(saved).startswith(f"{saved} has no readable card")


def test_refuses_an_unknown_preset(saved):
    rewritten(saved, {"card": json.dumps({"name": "x", "preset": "octave-96k", "facts": {}})})
    message = refusal(saved)
    assert "preset 'octave-96k', unknown to this version; update restorer" in message


def test_refuses_weights_of_another_network(saved):
    name = "denoiser.network.entries.0.weight"
    rewritten(saved, drop=[name])
    message = refusal(saved)
    assert message.startswith(f"{saved} does not fit preset tiny")
    assert name in message
    rewritten(saved, **{name: torch.ones(3)})
    assert name in refusal(saved)


@pytest.mark.parametrize("taps", [torch.ones(4), torch.ones(3, 3)])
def test_refuses_an_equaliser_that_is_none(saved, taps):
    rewritten(saved, **{"whitening.taps": taps})
    assert refusal(saved).startswith(f"{saved} does not fit preset tiny")


def test_refuses_to_make_an_unknown_preset():
    with pytest.raises(
        UsageError, match=r"there is no preset 'octave-9'; choose one of harmonic-44k, cqtdiff-22k, stft-22k"
    ):
        new_prior("octave-9")


def test_presets_are_what_was_promised():
    shipped, paper = PRESETS["harmonic-44k"], PRESETS["cqtdiff-22k"]
    assert (shipped.sample_rate, shipped.length, shipped.sigma_data, shipped.whitened) == (44100, 131072, 1.0, True)
    assert (paper.sample_rate, paper.length, paper.sigma_data, paper.whitened) == (22050, 65536, 0.057, False)


def test_a_prior_without_an_equaliser_whitens_nothing():
    plain = new_prior("plain")
    assert plain.whitening.margin == 0
    x = noise(1, 4096)
    torch.testing.assert_close(plain.whitening(x), x, rtol=0, atol=1e-6)


# The level of a window of noise is told by the 511 bins below 1 kHz under a Hann window, some 250 independent powers:
# to 3 %. Three times that.
LEVEL = 0.1


@pytest.mark.parametrize("std", [0.01, 1.0, 30.0])
def test_the_level_of_white_noise_is_its_deviation(prior, std):
    levels = prior.level(std * noise(4, 4096))
    assert levels.shape == (4, 1)
    torch.testing.assert_close(levels, torch.full((4, 1), std), rtol=LEVEL, atol=0)


def test_the_level_follows_a_gain_and_is_zero_for_silence(prior):
    x = noise(2, 4096)
    torch.testing.assert_close(prior.level(3 * x), 3 * prior.level(x))
    assert not prior.level(torch.zeros(2, 4096)).any()
    torch.testing.assert_close(prior.level(x + 30), prior.level(x), rtol=1e-3, atol=0)  # an offset is not heard
    assert prior.level(torch.sin(torch.arange(4096.0) * 2.5)[None]) > 0.05  # treble alone is not silence


def test_lost_highs_hardly_change_the_level(prior):
    x = noise(4, 4096)
    low_passed = torch.fft.irfft(torch.fft.rfft(x) * (torch.arange(2049) < 600))
    # the highs are 1/64 of the variance that the level adds
    torch.testing.assert_close(prior.level(low_passed), prior.level(x), rtol=0.01, atol=0)
    narrow = prior.level(torch.fft.irfft(torch.fft.rfft(x) * (torch.arange(2049) < 260)), Audible(below_hz=500))
    torch.testing.assert_close(narrow, prior.level(x), rtol=1.5 * LEVEL, atol=0)


def test_a_gap_does_not_lower_the_level_if_it_is_known(prior):
    x, heard = noise(4, 4096), torch.ones(4, 4096)
    heard[:, 1500:2500] = 0
    torch.testing.assert_close(prior.level(x * heard, Audible(where=heard)), prior.level(x), rtol=2 * LEVEL, atol=0)
    assert (prior.level(x * heard) < 0.8 * prior.level(x)).all()
    assert not prior.level(x, Audible(where=torch.zeros(4, 4096))).any()


def test_a_floor_is_measured_as_far_as_it_is_audible_and_expected_beyond(prior):
    x = 0.1 * noise(2, 4096)
    x[:, 1000:3000] *= 100  # not to be trusted
    where = torch.ones(2, 4096)
    where[:, 900:3100] = 0
    floor = prior.floor(x, Audible(1000.0, where))
    assert floor.shape == (2, 2049)
    hertz = torch.fft.rfftfreq(4096, 1 / 8000)
    torch.testing.assert_close(
        floor[:, (hertz > 300) & (hertz < 700)], torch.tensor(0.1).expand(2, 205), rtol=0.5, atol=0
    )
    assert (floor[:, hertz > 1200] < 1e-6).all()  # of a corpus of which nothing is known


def test_an_inaudible_floor_is_that_of_what_is_not_audible(prior):
    x = 0.1 * noise(1, 4096)
    x[:, 1000:3000] *= 10
    where = torch.ones(1, 4096)
    where[:, 1000:3000] = 0
    gap = prior.inaudible_floor(x, Audible(where=where))[0]
    torch.testing.assert_close(gap[200:], torch.ones(1849), rtol=0.5, atol=0)
    highs = prior.inaudible_floor(x, Audible(below_hz=1000.0))[0, 600:]
    assert (highs > 0.15).all()  # of all the window's
    assert (highs < 0.9).all()
    both = prior.inaudible_floor(x, Audible(1000.0, where))[0]
    torch.testing.assert_close(both[300:360], gap[300:360])
    torch.testing.assert_close(both[600:], highs)


def test_without_whitening_the_level_is_the_deviation():
    x = 0.2 * noise(4, 4096)
    # under a Hann window, from 2700 of the samples: to 1.4 %
    torch.testing.assert_close(new_prior("plain").level(x), x.std(-1, keepdim=True), rtol=0.05, atol=0)
