"""The whitening equaliser: a fixed linear-phase FIR that flattens music's long-term spectrum, and its exact inverse.

White noise of one level then drowns highs and lows alike, so that a diffusion spends its steps evenly over the
spectrum instead of on the lows. A time-invariant filter commutes with any other: band-limiting stays exact.
"""

from collections.abc import Callable

import torch
from scipy.fft import next_fast_len
from torch import Tensor, nn

_SILENCE = 1e-9  # of a sample, full-scale units; resampling leaves less than that of zeros


def design_equaliser(power: Tensor, exponent: float, cap_db: float, n_taps: int) -> Tensor:
    """Taps (n_taps,), float64, odd and symmetric, whose gain is power**(-exponent / 2), at most cap_db above its least.

    power: (bins,), mean power spectrum of the corpus on an even grid from 0 Hz to Nyquist inclusive, positive.
    exponent: 1 whitens fully, 0 not at all. n_taps: ValueError if even, or more than the grid can tell apart.
    """
    gain_db = -10 * exponent * torch.log10(power.double())
    gain_db = torch.minimum(gain_db - gain_db.min(), torch.tensor(cap_db, dtype=torch.float64))
    impulse = torch.fft.irfft(10 ** (gain_db / 20))
    if n_taps % 2 == 0 or n_taps > len(impulse):
        raise ValueError(f"no {n_taps} taps from {len(power)} bins: give an odd number below {len(impulse)}")
    taps = impulse.roll(n_taps // 2)[:n_taps]
    # A Hann window has a response without negative lobes worth the name: the gain stays positive, hence invertible.
    return taps * torch.hann_window(n_taps + 2, periodic=False, dtype=torch.float64)[1:-1]


class Whitening(nn.Module):
    """Filters by `taps` (odd, symmetric): along a long signal, or round a window as if it were periodic.

    inverse(forward(x)) is x to rounding. Refuses taps whose response is not positive, for they have no inverse.
    """

    taps: Tensor

    def __init__(self, taps: Tensor) -> None:
        super().__init__()
        if taps.ndim != 1 or taps.numel() % 2 == 0:
            raise ValueError(f"an equaliser needs an odd number of taps in one row, got shape {tuple(taps.shape)}")
        self.register_buffer("taps", taps.double())
        self._gains: dict[tuple[str, int, torch.dtype, torch.device], Tensor] = {}

    @property
    def margin(self) -> int:
        """Samples that `cut` needs on either side of a window."""
        return self.taps.numel() // 2

    def response(self, length: int) -> Tensor:
        """(length // 2 + 1,), float64: the real, positive gain of the periodic filter at the bins of an rfft."""
        half = self.margin
        if length <= 2 * half:
            raise ValueError(f"an equaliser of {2 * half + 1} taps needs a longer window than {length} samples")
        impulse = torch.cat([self.taps[half:], self.taps.new_zeros(length - 2 * half - 1), self.taps[:half]])
        gain = torch.fft.rfft(impulse).real
        if not gain.min() > 0:
            raise ValueError("the equaliser's response must be positive everywhere to have an inverse")
        return gain

    def cut(self, x: Tensor) -> Tensor:
        """x (..., length + 2 margin) -> (..., length): the part of the filtered long signal that needs no padding."""
        n = next_fast_len(x.shape[-1], real=True)
        # In float64: rounding of the loud highs' gain would be a thousandth of the lows'.
        gain = self._remembered("cut", x, lambda: torch.fft.rfft(self.taps, n=n))
        return torch.fft.irfft(torch.fft.rfft(x, n=n) * gain, n=n)[..., 2 * self.margin : x.shape[-1]]

    def sounding(self, x: Tensor) -> Tensor:
        """x (..., length + 2 margin) -> (..., length): 1 where `cut` hears anything, 0 where its result is rounding."""
        heard = nn.functional.pad((x.abs() > _SILENCE).cumsum(-1), (1, 0))
        taps = self.taps.numel()
        return (heard[..., taps:] > heard[..., :-taps]).to(x)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., length) -> whitened, the window taken as periodic."""
        return torch.fft.irfft(torch.fft.rfft(x) * self._gain(x), n=x.shape[-1])

    def inverse(self, x: Tensor) -> Tensor:
        """x (..., length), whitened -> waveform, the window taken as periodic."""
        return torch.fft.irfft(torch.fft.rfft(x) / self._gain(x), n=x.shape[-1])

    def _gain(self, x: Tensor) -> Tensor:
        return self._remembered("window", x, lambda: self.response(x.shape[-1]))

    def _remembered(self, what: str, x: Tensor, design: Callable[[], Tensor]) -> Tensor:
        """A gain for signals like x, designed in float64 the first time, in the precision of x."""
        key = (what, x.shape[-1], x.dtype, x.device)
        if key not in self._gains:
            gain = design()
            dtype = torch.promote_types(x.dtype, torch.complex32) if gain.is_complex() else x.dtype
            self._gains[key] = gain.to(device=x.device, dtype=dtype)
        return self._gains[key]
