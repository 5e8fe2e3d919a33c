"""Who learns how: convolutions by their direction (Muon), everything else by Adam."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from restorer.network.layers import Block, Conv
from restorer.network.octave import OctaveNet
from restorer.training.optimizer import Muon, new_optimizers, rates, renormalise, step
from restorer.training.settings import TrainSettings
from tests.tiny_network import TINY

SETTINGS = TrainSettings(muon_rate=0.05, adam_rate=0.003)


def with_gradients(network: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    for parameter in network.parameters():
        parameter.grad = torch.randn_like(parameter)
    return network


def test_every_weight_is_learned_once_and_directions_by_muon():
    network = OctaveNet(TINY)
    muon, adam = new_optimizers(network, SETTINGS)
    assert isinstance(muon, torch.optim.Muon)
    directions = {id(module.weight) for module in network.modules() if isinstance(module, Conv)}
    learned = [[id(p) for group in each.param_groups for p in group["params"]] for each in (muon, adam)]
    assert set(learned[0]) == directions
    assert sorted(learned[0] + learned[1]) == sorted(id(p) for p in network.parameters())


def test_a_network_without_directions_is_learned_by_adam():
    (adam,) = new_optimizers(nn.Linear(3, 3), SETTINGS)
    assert isinstance(adam, torch.optim.Adam)


def test_a_convolution_alone_is_learned_by_muon():
    (muon,) = new_optimizers(Conv(3, 3), SETTINGS)
    assert isinstance(muon, torch.optim.Muon)


def test_rates_have_the_names_of_the_settings():
    optimizers = new_optimizers(Block(4, (1, 1), 8), SETTINGS, pace=0.5)
    assert rates(optimizers) == {"muon_rate": 0.025, "adam_rate": 0.0015}
    replace(SETTINGS, **rates(optimizers))


def test_muon_is_torchs_whatever_shapes_share_a_step():
    """Three shapes, tall, wide and shared; three steps, so that momentum counts."""
    torch.manual_seed(0)
    weights = [torch.randn(shape) for shape in ((6, 18), (18, 6), (6, 18), (5, 5))]
    results = []
    for kind in (torch.optim.Muon, Muon):
        mine = [nn.Parameter(weight.clone()) for weight in weights]
        optimizer = kind(mine, lr=0.05, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
        for time in (1, 2, 3):
            for weight, start in zip(mine, weights, strict=True):
                weight.grad = (time * start).sin()
            optimizer.step()
        results.append((mine, optimizer.state_dict()))
    (expected, expected_state), (found, state) = results
    for a, b, start in zip(expected, found, weights, strict=True):
        assert (a - b).norm() < 0.02 * (a - start).norm()  # bfloat16
    for key, kept in expected_state["state"].items():
        assert torch.allclose(state["state"][key]["momentum_buffer"], kept["momentum_buffer"])


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_a_step_turns_every_row_by_a_fifth_of_the_rate(share):
    """However long the gradient is: the singular values of what Muon goes by are 1, give or take a third."""
    layer = with_gradients(Conv(8, 6, (3, 3)))
    assert isinstance(layer, Conv)
    assert layer.weight.grad is not None
    layer.weight.grad *= 1000
    renormalise(layer)
    before = layer.weight.detach().clone()
    step(new_optimizers(layer, SETTINGS), share)
    turned = (layer.weight - before).detach().norm(dim=1) / before.norm(dim=1)
    # 0.2 sqrt(72) over rows of 72 weights
    torch.testing.assert_close(turned, torch.full((6,), 0.2 * share * SETTINGS.muon_rate), rtol=0.35, atol=0)


def test_a_step_moves_the_other_weights_by_the_rate_of_adam():
    layer = with_gradients(nn.Linear(5, 5))
    before = [p.detach().clone() for p in layer.parameters()]
    step(new_optimizers(layer, SETTINGS), 0.5)
    for parameter, old in zip(layer.parameters(), before, strict=True):
        torch.testing.assert_close((parameter.detach() - old).abs(), torch.full_like(old, 0.0015), rtol=1e-3, atol=0)


def test_renormalised_rows_have_unit_variance_and_the_same_direction():
    layer = Conv(8, 6, (3, 3))
    with torch.no_grad():
        layer.weight.mul_(torch.rand(6, 1) + 3)
    before = layer.unit_weight(torch.float32)
    renormalise(layer)
    torch.testing.assert_close(layer.weight.detach().square().mean(dim=1), torch.ones(6))
    torch.testing.assert_close(layer.unit_weight(torch.float32), before)
