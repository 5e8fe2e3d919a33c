"""Constant-Q frames and their transform: exact inverses, energy, adjoints, and where a sine is found."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from restorer.dsp.cqt import ConstantQ
from restorer.dsp.frame import Frame, Group, octave_frame, raster_frame

MAX_ERROR = {torch.float64: 1e-12, torch.float32: 2e-5}  # promised, on signals of unit size
LENGTHS = [1, 2, 3, 4, 5, 7, 8, 13, 31, 64, 97, 100, 255, 256, 257, 1009, 4095, 4096, 4099, 10007]
DESIGNS = [octave_frame, raster_frame]
NAMES = ["octaves", "raster"]
both = pytest.mark.parametrize("design", DESIGNS, ids=NAMES)
precisions = pytest.mark.parametrize("dtype", list(MAX_ERROR), ids=["float64", "float32"])


def noise(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def small_frames() -> list[Frame]:
    return [octave_frame(60, 3, 3), octave_frame(61, 3, 3), raster_frame(60, 4, 3), raster_frame(61, 4, 3)]


small = pytest.mark.parametrize("frame", small_frames(), ids=["octaves 60", "octaves 61", "raster 60", "raster 61"])


def round_trip(transform: ConstantQ, x: Tensor) -> float:
    """The largest error of any sample; beyond it, of a signal that is a single large sample."""
    return float((transform.inverse(transform(x)) - x).abs().max())


@both
@precisions
def test_perfect_reconstruction_at_any_length(design, dtype):
    for length in LENGTHS:
        error = round_trip(ConstantQ(design(length)), noise(2, length, dtype=dtype))
        assert error <= MAX_ERROR[dtype], f"{error} at {length} samples"


@pytest.mark.parametrize("length", [65536, 2**17, 131071])
@both
def test_perfect_reconstruction_of_real_windows(design, length):
    transform = ConstantQ(design(length))
    for dtype, most in MAX_ERROR.items():
        assert round_trip(transform, noise(1, length, dtype=dtype)) <= most


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 3000), st.integers(1, 24), st.integers(1, 8))
def test_perfect_reconstruction_for_any_octave_frame(length, bins_per_octave, octaves):
    transform = ConstantQ(octave_frame(length, bins_per_octave, octaves))
    assert round_trip(transform, noise(1, length)) <= MAX_ERROR[torch.float64]


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 3000), st.integers(4, 64), st.integers(2, 8))
def test_perfect_reconstruction_for_any_raster_frame(length, bins_per_octave, octaves):
    transform = ConstantQ(raster_frame(length, bins_per_octave, octaves))
    assert round_trip(transform, noise(1, length)) <= MAX_ERROR[torch.float64]


@pytest.mark.parametrize("length", [512, 511])
@both
@precisions
def test_perfect_reconstruction_of_dc_nyquist_and_impulses(design, dtype, length):
    transform = ConstantQ(design(length))
    dc, alternating = torch.ones(length), 1.0 - 2 * (torch.arange(length) % 2)
    # for an odd length, the highest frequency that there is
    highest = torch.cos(2 * torch.pi * (length // 2) * torch.arange(length, dtype=torch.float64) / length)
    impulses = torch.zeros(3, length)
    impulses[[0, 1, 2], [0, length // 2, length - 1]] = 1
    for x in (dc, alternating, highest, impulses, torch.zeros(length)):
        assert round_trip(transform, x.to(dtype)) <= MAX_ERROR[dtype]


@both
def test_every_bin_is_synthesised_with_total_weight_one(design):
    for length in (64, 97, 4096):
        frame, total = design(length), np.zeros(length)
        for group in frame.groups:
            np.add.at(total, group.bins, group.analysis * group.synthesis)
        # a sum of a few squared windows, divided by itself
        np.testing.assert_allclose(total[: length // 2 + 1], 1, rtol=0, atol=1e-14)
        assert not total[length // 2 + 1 :].any()  # negative frequencies come back by symmetry alone


@both
@precisions
def test_batch_equals_its_items_alone(design, dtype):
    transform = ConstantQ(design(1000))
    x = noise(2, 3, 1000, dtype=dtype)  # any leading dimensions
    together = transform(x)
    again = transform.inverse(together)
    for i in range(2):
        for j in range(3):
            alone = transform(x[i, j])
            for one, all_of_them in zip(alone, together, strict=True):
                # the FFT library may vectorise a batch in another order: rounding
                torch.testing.assert_close(all_of_them[i, j], one, rtol=0, atol=MAX_ERROR[dtype])
            torch.testing.assert_close(again[i, j], transform.inverse(alone), rtol=0, atol=MAX_ERROR[dtype])


@pytest.mark.parametrize("length", [64, 97, 4096, 4099])
def test_octave_frame_keeps_energy(length):
    x = noise(1, length)
    energy = sum(float(group.abs().square().sum()) for group in ConstantQ(octave_frame(length, 12, 4))(x))
    assert energy == pytest.approx(float(x.square().sum()), rel=1e-12)  # float64, a sum of thousands


@pytest.mark.parametrize("length", [64, 97, 4096])
def test_octave_frame_is_inverted_by_its_adjoint(length):
    """<C x, c> = <x, inverse(c)> for any coefficients c, those of no signal too."""
    transform = ConstantQ(octave_frame(length, 12, 4))
    x = noise(1, length)
    here = transform(x)
    there = [
        torch.complex(noise(*c.shape, seed=2 * i + 1), noise(*c.shape, seed=2 * i + 2)) for i, c in enumerate(here)
    ]
    left = sum(float((a * b.conj()).real.sum()) for a, b in zip(here, there, strict=True))
    right = float((x * transform.inverse(there)).sum())
    scale = float(x.norm()) * sum(float(c.norm()) for c in there)
    assert abs(left - right) <= 1e-13 * scale


def flat(coefficients: list[Tensor]) -> Tensor:
    """(batch, numbers): real parts, imaginary parts."""
    joined = torch.cat([group.flatten(-2) for group in coefficients], dim=-1)
    return torch.cat([joined.real, joined.imag], dim=-1)


def shaped(numbers: Tensor, frame: Frame) -> list[Tensor]:
    """The inverse of flat."""
    complexes = torch.complex(*numbers.chunk(2, dim=-1))
    parts = complexes.split([group.bins.size for group in frame.groups], dim=-1)
    return [part.unflatten(-1, group.bins.shape) for part, group in zip(parts, frame.groups, strict=True)]


@small
def test_autograd_gives_the_transposed_matrices(frame):
    transform = ConstantQ(frame)
    forward = flat(transform(torch.eye(frame.length, dtype=torch.float64))).T  # (numbers, samples)
    numbers = len(forward)
    inverse = transform.inverse(shaped(torch.eye(numbers, dtype=torch.float64), frame)).T  # (samples, numbers)
    x, c = noise(1, frame.length), noise(1, numbers)
    _, pulled = torch.autograd.functional.vjp(lambda v: flat(transform(v)), x, c)
    torch.testing.assert_close(pulled, c @ forward, rtol=0, atol=1e-12)
    _, pulled = torch.autograd.functional.vjp(lambda v: transform.inverse(shaped(v, frame)), c, x)
    torch.testing.assert_close(pulled, x @ inverse, rtol=0, atol=1e-12)


@small
def test_gradients_are_those_of_finite_differences(frame):
    transform = ConstantQ(frame)
    x = noise(2, frame.length).requires_grad_()
    coefficients = [group.detach().requires_grad_() for group in transform(x)]
    # A quadratic on top, so that second derivatives are not all zero; fast mode: one random direction each.
    energies = [
        (lambda v: tuple(group * group.abs() for group in transform(v)), (x,)),
        (lambda *groups: transform.inverse(groups).square(), tuple(coefficients)),
    ]
    for function, inputs in energies:
        assert torch.autograd.gradcheck(function, inputs, fast_mode=True)
        assert torch.autograd.gradgradcheck(function, inputs, fast_mode=True)


def test_octave_frames_are_powers_of_two_that_halve():
    assert [(group.bands, group.frames) for group in octave_frame(2**17).groups] == [
        *((48, 2**k) for k in range(11, 4, -1)),
        (64, 16),
    ]
    for length in (97, 4096, 44100):
        for group in octave_frame(length, 12, 4).groups:
            assert group.frames.bit_count() == 1
            assert (group.analysis != 0).sum(-1).max() <= group.frames  # painless


def test_raster_frame_has_the_papers_size():
    (group,) = raster_frame(65536).groups
    assert (group.bands, group.frames) == (450, 704)
    assert group.bins[0, 0] == 0  # DC
    assert group.bins[1, 0] == 256  # 86.13 Hz, seven octaves below Nyquist
    assert group.bins[-1, 0] == 32768  # Nyquist
    assert (np.diff(group.bins[:, 0]) > 0).all()


def test_octave_bands_stand_at_even_steps_of_pitch():
    """Twelve to the octave, half a step away from its ends; the rest below evenly spaced."""
    *octaves, rest = octave_frame(2**14, 12, 5).groups
    for i, group in enumerate(octaves):
        pitches = 2**13 * 2.0 ** (-i - 1 + (np.arange(12) + 0.5) / 12)
        np.testing.assert_allclose(group.bins[:, 0], pitches, rtol=0, atol=0.501)  # rounded to a bin
    lowest = 2**13 / 2**5
    spread = (np.arange(rest.bands) + 0.5) * lowest / rest.bands
    np.testing.assert_allclose(rest.bins[:, 0], spread, rtol=0, atol=0.501)
    # and a window is highest at its centre, which demodulation takes to 0 Hz
    assert (group.analysis[:, 0] >= 0.99 * group.analysis.max(-1)).all()


def centres(frame: Frame) -> list[tuple[int, int, int]]:
    """(group, row, FFT bin of its centre)"""
    return [(i, row, int(group.bins[row, 0])) for i, group in enumerate(frame.groups) for row in range(group.bands)]


@pytest.mark.parametrize("frame", [octave_frame(2**14, 12, 5), raster_frame(2**14, 12, 5)], ids=NAMES)
def test_a_sine_lives_in_the_row_of_its_frequency(frame):
    time = torch.arange(frame.length, dtype=torch.float64)
    transform = ConstantQ(frame)
    rows = centres(frame)
    for i, row, centre in [*rows[:: len(rows) // 25], rows[0], rows[-1]]:
        # At DC and at Nyquist a sine would be silent.
        sine = torch.cos(2 * torch.pi * centre * time / frame.length)
        energies = torch.cat([group.abs().square().mean(-1) for group in transform(sine)])
        found = rows[int(energies.argmax())]
        assert found == (i, row, centre)
        near = [k for k, (_, _, other) in enumerate(rows) if abs(other - centre) < 0.2 * centre + 64]
        assert energies[near].sum() >= (1 - 1e-12) * energies.sum()  # windows of finite width: nothing elsewhere


@pytest.mark.parametrize("frame", [octave_frame(2**14, 12, 5), raster_frame(2**14, 12, 5)], ids=NAMES)
def test_an_impulse_is_found_where_it_is(frame):
    """Time runs along the frames: frame m of M stands for sample m N / M."""
    place = 5000
    x = torch.zeros(frame.length, dtype=torch.float64)
    x[place] = 1
    for group in ConstantQ(frame)(x):
        frames = group.shape[-1]
        loudest = group.abs().square().sum(-2).argmax()
        assert abs(int(loudest) - place * frames / frame.length) <= 1


@both
def test_rows_go_from_low_to_high_and_octaves_from_high_to_low(design):
    frame = design(2**14)
    for group in frame.groups:
        assert (np.diff(group.bins[:, 0]) >= 0).all()
    lowest = [group.bins[:, 0].min() for group in frame.groups]
    assert lowest == sorted(lowest, reverse=True)


@pytest.mark.parametrize("length", [999, 1001, 0])
def test_refuses_another_length(length):
    with pytest.raises(ValueError, match=f"for 1000 samples, got {length}"):
        ConstantQ(octave_frame(1000))(torch.zeros(1, length))


@pytest.mark.parametrize("cast", [torch.bfloat16, torch.float16, torch.float32])
def test_casting_a_network_leaves_the_tables_exact(cast):
    transform = ConstantQ(octave_frame(1000, 12, 4))
    holder = torch.nn.ModuleList([transform]).to(cast)
    assert round_trip(holder[0], noise(1, 1000)) <= MAX_ERROR[torch.float64]


def test_tables_are_no_weights_and_follow_the_device():
    transform = ConstantQ(octave_frame(1000, 12, 4))
    assert not transform.state_dict()
    assert not list(transform.parameters())
    assert [group.shape for group in transform.to("meta")(torch.empty(2, 1000, device="meta"))] == [
        (2, group.bands, group.frames) for group in octave_frame(1000, 12, 4).groups
    ]


class Operations(TorchDispatchMode):
    """How many operations torch runs."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += 1
        return func(*args, **(kwargs or {}))


def operations(frame: Frame) -> int:
    transform, x = ConstantQ(frame), noise(1, frame.length)
    with Operations() as mode:
        transform.inverse(transform(x))
    return mode.count


def test_no_loop_over_bins():
    assert operations(octave_frame(2**14, 48, 5)) == operations(octave_frame(2**14, 6, 5))
    # Rounding of centres lets a third band reach a bin now and then, which costs a gather, a weight and a sum.
    assert operations(raster_frame(2**14, 64, 5)) <= operations(raster_frame(2**14, 8, 5)) + 8


def test_groups_tell_their_size():
    group = Group(np.zeros((3, 5), dtype=np.int64), np.zeros((3, 5)), np.zeros((3, 5)))
    assert (group.bands, group.frames) == (3, 5)
