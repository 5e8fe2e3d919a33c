"""The shipped network: shapes, magnitudes kept from layer to layer, items that do not hear each other, cost."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from restorer.dsp.known import Known
from restorer.network.layers import SILU_GAIN, Block, Conv, Double, Halve, NoiseEmbedding, fold, unfold
from restorer.network.octave import OctaveConfig, OctaveNet
from tests.tiny_network import TINY

LEVELS = torch.tensor([-1.0, 0.0, 0.3])


@pytest.fixture
def network() -> OctaveNet:
    torch.manual_seed(0)
    return OctaveNet(TINY)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).detach().norm() / expected.detach().norm())


@pytest.mark.parametrize("batch", [1, 3])
def test_a_window_gives_a_window(network, batch):
    y = network(noise(batch, 4096), torch.zeros(batch))
    assert y.shape == (batch, 4096)
    assert y.dtype == torch.float32
    assert torch.isfinite(y).all()


@pytest.mark.parametrize(
    "config",
    [
        replace(TINY, base_frames=16),  # every octave is folded
        replace(TINY, base_frames=512),  # none is; five levels
        replace(TINY, length=5000),  # frames are powers of two whatever the length
        replace(TINY, octaves=2),
    ],
)
def test_other_sizes(config):
    if config.base_frames == 512:
        config = replace(config, channels=(4, 4, 6, 6, 8))
    y = OctaveNet(config)(noise(1, config.length), torch.zeros(1))
    assert y.shape == (1, config.length)
    assert float(y.detach().std()) > 0.05


def test_refuses_an_octave_that_no_level_fits():
    with pytest.raises(ValueError, match="an octave of 32 frames needs 3 levels, this network has 2"):
        OctaveNet(replace(TINY, channels=(8, 8)))


def test_batch_equals_its_items_alone(network):
    x = noise(3, 4096)
    together = network(x, LEVELS)
    for i in range(3):
        # promised to 1e-5: a batch may be summed in another order
        assert relative(network(x[i : i + 1], LEVELS[i : i + 1]), together[i : i + 1]) <= 1e-5


def known(below: float, heard: int = 4096) -> Known:
    return Known(torch.tensor([below]), (torch.arange(4096) < heard).float()[None])


def test_nothing_known_is_told_by_saying_nothing(network):
    x = noise(1, 4096)
    assert torch.equal(network(x, torch.zeros(1), known(1.0, 0)), network(x, torch.zeros(1)))


@pytest.mark.parametrize("told", [known(0.3), known(1.0, 2000)])
def test_the_network_hears_what_is_known_at_once(network, told):
    x = noise(1, 4096)
    assert relative(network(x, torch.zeros(1), told), network(x, torch.zeros(1))) > 0.01


def test_silence_says_nothing_but_what_the_places_say(network):
    """Without bias anywhere, and with no place, silence stays silence."""
    with torch.no_grad():
        for place in network.places:
            place.zero_()
    assert not network(torch.zeros(1, 4096), torch.zeros(1)).any()


def test_an_untrained_network_whispers(network):
    """What it says is 0.3 of unit variance at first, its own spread between octaves and weights apart."""
    y = network(noise(4, 4096), torch.zeros(4))
    assert 0.1 < float(y.detach().std()) < 0.6


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 4), st.integers(1, 6), st.sampled_from([1, 2, 4, 8]))
def test_unfold_undoes_fold(batch, channels, bands, quarter, factor):
    x = noise(batch, channels, bands, quarter * factor)
    folded = fold(x, factor)
    assert folded.shape == (batch, channels * factor, bands, quarter)
    assert torch.equal(unfold(folded, factor), x)
    assert torch.equal(fold(unfold(folded, factor), factor), folded)


def test_fold_puts_a_frames_neighbours_side_by_side():
    x = torch.arange(8.0).reshape(1, 1, 1, 8)
    assert fold(x, 4)[0, :, 0].T.tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_fold_in_channels_last_moves_nothing():
    x = noise(2, 4, 3, 8).contiguous(memory_format=torch.channels_last)
    assert fold(x, 2).data_ptr() == x.data_ptr()
    assert fold(x, 2).is_contiguous(memory_format=torch.channels_last)


# A layer's variance is that of 64 random rows of weights, which spread by sqrt(2 / 64) = 18 %; their mean by 3 % or so
# where the inputs are white. Three times that.
ABOUT_ONE = 0.1


def power(x: Tensor) -> float:
    """The mean square, away from the borders, which convolutions pad with zeros."""
    return float(x.detach()[:, :, 8:-8, 1:-1].square().mean())


@pytest.mark.parametrize(
    "layer",
    [
        Conv(64, 64),
        Conv(32, 64, (3, 3)),
        Conv(32, 64, (3, 3), dilation=4),
        Halve(64, 64),
        Double(64, 64),
    ],
    ids=["1x1", "3x3", "dilated", "halve", "double"],
)
def test_unit_variance_stays_unit_variance(layer):
    assert power(layer(noise(4, 64 if not isinstance(layer, Conv) else layer.shape[1], 32, 32))) == pytest.approx(
        1, abs=ABOUT_ONE
    )


def test_silu_gain_brings_unit_power_back():
    z = torch.special.ndtri((torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000)  # every quantile once
    assert float((torch.nn.functional.silu(z) * SILU_GAIN).square().mean()) == pytest.approx(1, rel=2e-3)


@pytest.mark.parametrize("dilations", [(1, 1), (1, 3)])
def test_a_block_keeps_unit_variance(dilations):
    torch.manual_seed(0)
    block = Block(64, dilations, 16)
    # The residual branch gives half of the power, and so half of its own spread.
    assert power(block(noise(4, 64, 48, 32), torch.zeros(4, 16))) == pytest.approx(1, abs=ABOUT_ONE)


@pytest.mark.parametrize("seed", range(3))
def test_as_many_blocks_as_there_are_levels_keep_about_unit_variance(seed):
    torch.manual_seed(seed)
    x = noise(1, 64, 64, 64)
    for _ in OctaveConfig().channels:
        x = Block(64, (1, 1), 16)(x, torch.zeros(1, 16))
    # In the middle, where no zeros seep in from beyond the border. Silu leaves a mean that adds up: still within 3 dB.
    assert 0.5 < float(x[:, :, 22:-22, 22:-22].square().mean().detach()) < 2


def test_convolutions_act_by_their_direction_alone():
    """Any scale of the weights gives the same output, that of rows of norm `scale`."""
    layer = Conv(8, 6, (3, 3), scale=0.7)
    rows = layer.unit_weight(torch.float32).flatten(1)
    torch.testing.assert_close(rows.norm(dim=1), torch.full((6,), 0.7))
    x = noise(1, 8, 10, 10)
    before = layer(x)
    with torch.no_grad():
        layer.weight.mul_(torch.rand(6, 1) + 5)
    assert relative(layer(x), before) <= 1e-6


def test_gradients_come_in_the_layout_of_the_weights():
    """Else several processes copy every gradient, and torch warns of it."""
    for layer in (Conv(8, 6), Conv(8, 6, (3, 3))):
        for dtype in (torch.float32, torch.bfloat16):
            layer.zero_grad()
            layer(noise(1, 8, 10, 10).to(dtype, memory_format=torch.channels_last)).sum().backward()
            assert layer.weight.grad is not None
            assert layer.weight.grad.stride() == layer.weight.stride()


def test_noise_levels_are_told_apart_at_unit_variance():
    torch.manual_seed(0)
    embedding = NoiseEmbedding(16, features=4096)
    levels = torch.linspace(-1.5, 1, 9)
    waves = math.sqrt(2) * torch.cos(torch.outer(levels, embedding.frequencies) + embedding.phases)
    # 4096 random phases tell the power to 1.6 %, three times that
    torch.testing.assert_close(waves.square().mean(-1), torch.ones(9), rtol=0, atol=0.05)
    assert embedding(levels).shape == (9, 16)
    assert torch.pdist(embedding(levels)).min() > 0


def test_the_noise_level_changes_the_answer_once_it_is_learned(network):
    x = noise(1, 4096)
    assert torch.equal(network(x, torch.zeros(1)), network(x, torch.ones(1)))  # the gains begin at one
    learn_gains(network)
    assert relative(network(x, torch.zeros(1)), network(x, torch.ones(1))) > 0.01


def learn_gains(network: OctaveNet) -> None:
    """The gains of the noise level begin at zero, which holds back what would reach the embedding behind them."""
    for module in network.modules():
        if isinstance(module, Block):
            torch.nn.init.normal_(module.gain.weight, std=0.3)


def test_the_gradient_reaches_every_parameter(network):
    learn_gains(network)
    network(noise(2, 4096), LEVELS[:2]).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().max()) > 0, name
        assert torch.isfinite(parameter.grad).all(), name


def test_the_gradient_of_the_input_is_that_of_finite_differences(network):
    """Guidance goes through the network."""
    x, weights = noise(1, 4096), noise(1, 4096, seed=1)

    def value(v: Tensor) -> Tensor:
        return (network(v, torch.zeros(1)) * weights).sum()

    (gradient,) = torch.autograd.grad(value(x.requires_grad_()), x)
    step = 0.02
    for seed in range(2, 6):  # any direction: along the gradient alone, what it lacks would not be missed
        direction = noise(1, 4096, seed=seed)
        with torch.no_grad():
            slope = (value(x + step * direction) - value(x - step * direction)) / (2 * step)
        # Slopes are about the gradient's norm; a step of 0.02 keeps both bends and rounding of float32 below 1 %.
        assert float((gradient * direction).sum() - slope) == pytest.approx(0, abs=0.01 * float(gradient.norm()))


def test_bfloat16_is_close_to_float32(network):
    learn_gains(network)
    x = noise(2, 4096)
    exact = network(x, LEVELS[:2])
    network.compute_dtype = torch.bfloat16
    rounded = network(x, LEVELS[:2])
    assert rounded.dtype == torch.float32
    # 8 bits of mantissa: 0.2 % a rounding, some 20 of them one after the other, which add up as their root
    assert 1e-4 < relative(rounded, exact) <= 0.03


def test_the_shipped_network_costs_what_was_promised():
    """2 to 8 M parameters, at most 40 GFLOP a window; counted on shapes alone (the FFTs, below 0.1 GFLOP, are not)."""
    config = OctaveConfig()
    with torch.device("meta"):
        network = OctaveNet(config)
    network = network.to("meta")  # its tables too
    with FlopCounterMode(display=False) as counter:
        y = network(torch.empty(1, config.length, device="meta"), torch.empty(1, device="meta"))
    assert y.shape == (1, 2**17)
    assert 2e6 <= sum(parameter.numel() for parameter in network.parameters()) <= 8e6
    assert 1e9 <= counter.get_total_flops() <= 40e9


def test_every_octave_joins_where_its_frames_fit(network):
    """Frames of the finest level and above are folded, the others join where as many are left."""
    assert [group.shape[-1] for group in network.transform(noise(1, 4096))] == [512, 256, 128, 64, 32]
    assert network.levels == [0, 0, 0, 1, 2]
    assert network.factors == [4, 2, 1, 1, 1]


@pytest.mark.slow
def test_fused_it_is_the_same_and_learns_the_same():
    torch.manual_seed(0)
    network = OctaveNet(TINY)
    fused = copy.deepcopy(network)
    fused.compile()
    x, c_noise = torch.randn(2, TINY.length), torch.tensor([-1.0, 0.5])
    known = Known(torch.tensor([0.2, 1.0]), (torch.rand(2, TINY.length) > 0.5).float())
    outputs = [it(x, c_noise, known) for it in (network, fused)]
    torch.testing.assert_close(outputs[1], outputs[0], rtol=1e-4, atol=1e-5)
    for output in outputs:
        output.square().sum().backward()
    assert fused.state_dict().keys() == network.state_dict().keys()
    for learned, expected in zip(fused.parameters(), network.parameters(), strict=True):
        assert learned.grad is not None
        assert expected.grad is not None
        torch.testing.assert_close(learned.grad, expected.grad, rtol=1e-3, atol=1e-3)
