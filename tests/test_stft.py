"""The short-time Fourier transform that stands in for the constant-Q one in the paper's network."""

import pytest
import torch

from restorer.dsp.stft import ShortTimeFourier
from restorer.network.cqtdiff import CqtDiff, CqtDiffConfig, short_time_fourier
from restorer.prior import PRESETS

SMALL = CqtDiffConfig(length=1024, channels=(4, 6, 8), layers=2, fourier_features=4, condition=16)


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, 1e-13), (torch.float32, 1e-5)])
@pytest.mark.parametrize(("length", "size", "hop"), [(1024, 64, 8), (1000, 64, 16), (997, 50, 25)])
def test_the_inverse_gives_the_signal_back(dtype, bound, length, size, hop):
    x = torch.randn(3, length, dtype=dtype, generator=torch.Generator().manual_seed(0))
    x[1] = 1  # DC
    x[2] = torch.tensor([1.0, -1.0]).repeat(length // 2 + 1)[:length]  # Nyquist
    transform = ShortTimeFourier(length, size, hop)
    assert (transform.inverse(transform(x)) - x).abs().max() < bound


def test_white_noise_has_coefficients_of_unit_variance():
    x = torch.randn(4, 2**14, generator=torch.Generator().manual_seed(0))
    (coefficients,) = ShortTimeFourier(2**14, 256, 64)(x)
    # 16,000 independent numbers or more: 1 % is one standard error.
    assert coefficients[:, 1:-1, 4:-4].abs().square().mean() == pytest.approx(1, abs=0.03)


def test_another_length_is_refused():
    with pytest.raises(ValueError, match="for 1024 samples, got 1000"):
        ShortTimeFourier(1024, 64, 8)(torch.zeros(1, 1000))


def test_the_papers_network_runs_on_it_and_learns():
    torch.manual_seed(0)
    network = CqtDiff(SMALL, ShortTimeFourier(1024, 64, 16))
    x = torch.randn(2, 1024, requires_grad=True)
    out = network(x, torch.tensor([0.1, -0.5]))
    assert out.shape == x.shape
    torch.testing.assert_close(network(x[1:], torch.tensor([-0.5])), out[1:], rtol=1e-4, atol=1e-5)  # by itself
    out.square().mean().backward()
    moved = [name for name, p in network.named_parameters() if p.requires_grad and p.grad is None]
    assert not moved
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


def test_its_preset_differs_from_the_papers_in_the_transform_alone():
    stft, paper = PRESETS["stft-22k"], PRESETS["cqtdiff-22k"]
    assert vars(stft) | {"name": "", "build": None} == vars(paper) | {"name": "", "build": None}
    with torch.device("meta"):
        first, second = stft.build(), paper.build()
    assert isinstance(first.transform, ShortTimeFourier)
    trained = [sum(p.numel() for p in network.parameters() if p.requires_grad) for network in (first, second)]
    assert trained[0] == trained[1]
    transform = short_time_fourier()
    frames = transform.length // transform.hop + 1
    assert 0.75 < transform.bands * frames / (450 * 704) < 1.25  # coefficients
