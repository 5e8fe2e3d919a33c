"""What is known of a window: a linear part of it, and the cells of a transform that it fills."""

import pytest
import torch
from torch import Tensor

from restorer.dsp.cqt import ConstantQ
from restorer.dsp.frame import octave_frame
from restorer.dsp.known import Known
from tests.laws import assert_close

LENGTH = 4096
TIME = torch.arange(LENGTH)
EVERYWHERE = torch.ones(1, LENGTH, dtype=torch.float64)
OUTSIDE = ((TIME < 1024) | (TIME >= 3072)).double()[None]

LOWS = Known(torch.tensor([0.25], dtype=torch.float64), EVERYWHERE)
CONTEXT = Known(torch.ones(1, dtype=torch.float64), OUTSIDE)
BOTH = Known(LOWS.below, OUTSIDE)
NOTHING = Known(torch.ones(1, dtype=torch.float64), torch.zeros_like(EVERYWHERE))
EVERYTHING = Known(torch.ones(1, dtype=torch.float64), EVERYWHERE)
each = pytest.mark.parametrize("known", [LOWS, CONTEXT, BOTH, NOTHING, EVERYTHING])


def noise(batch: int = 1, seed: int = 0) -> Tensor:
    return torch.randn(batch, LENGTH, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@each
def test_the_known_part_is_linear(known):
    x, z = noise(), noise(seed=1)
    assert_close(known.part(2 * x - 3 * z), 2 * known.part(x) - 3 * known.part(z), 1e-12)


def test_lows_are_what_lies_below():
    spectrum = torch.fft.rfft(LOWS.part(noise()))
    assert_close(spectrum[:, :513], torch.fft.rfft(noise())[:, :513], 1e-12)
    assert spectrum[:, 513:].abs().max() < 1e-9


def test_what_was_heard_for_a_while_is_known_for_as_long():
    torch.testing.assert_close(CONTEXT.part(noise()), noise() * OUTSIDE, rtol=0, atol=1e-12)
    assert not NOTHING.part(noise()).any()
    torch.testing.assert_close(EVERYTHING.part(noise()), noise(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("known", [LOWS, CONTEXT])
def test_put_takes_the_known_part_and_leaves_the_rest(known):
    x, heard = noise(), noise(seed=1)
    mixed = known.put(heard, x)
    assert_close(known.part(mixed), known.part(heard), 1e-12)
    assert_close(mixed - known.part(mixed), known.rest(x), 1e-12)
    assert_close(known.put(heard, mixed), mixed, 1e-12)


@each
def test_the_share_of_the_rest_is_that_of_white_noise(known):
    if known is EVERYTHING:
        assert float(known.rest_share()) == 0
        return
    x = noise(256)
    left = (known.rest(x)).square().mean()
    # a million squares tell their mean to 0.14 %
    assert float(left) == pytest.approx(float(known.rest_share()), rel=0.01)


@each
def test_cells_say_where_a_transform_of_the_known_part_has_its_energy(known):
    """Of white noise: each band and frame of the known part has the share of power that its cell says, but for the
    cells at the borders, which windows in time and frequency straddle."""
    frame = octave_frame(LENGTH, 8, 4)
    transform = ConstantQ(frame)
    x = noise(400)
    for group, whole, part in zip(frame.groups, transform(x), transform(known.part(x)), strict=True):
        places = torch.from_numpy(group.bins[:, 0] / (LENGTH / 2))
        cells = known.cells(places, group.frames)
        assert cells.shape == (1, group.bands, group.frames)
        share = part.abs().square().mean(0) / whole.abs().square().mean(0)
        far = torch.ones_like(share, dtype=torch.bool)
        if known.below[0] < 1:
            far &= ((places - known.below).abs() > 0.15 * known.below)[:, None]
        edges = torch.tensor([1024.0, 3072.0]) * group.frames / LENGTH
        far &= ((torch.arange(group.frames)[:, None] - edges).abs().amin(-1) > 2.5)[None]
        # windows reach out: their tails beyond two frames and a half hold some percent
        assert (share - cells[0])[far].abs().max() < 0.1
        assert group.frames < 64 or far.double().mean() > 0.5


def test_items_do_not_hear_each_other():
    known = Known(torch.tensor([0.25, 1.0]).double(), torch.cat([EVERYWHERE, OUTSIDE]))
    x = noise(2)
    for i, alone in enumerate((LOWS, CONTEXT)):
        assert_close(known.part(x)[i : i + 1], alone.part(x[i : i + 1]), 1e-12)
        places = torch.linspace(0, 1, 9).double()
        assert torch.equal(known.cells(places, 64)[i : i + 1], alone.cells(places, 64))
