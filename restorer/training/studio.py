"""Takes rendered on a device, a batch at a time: the sound of `piano.render`, without the CPU.

Nothing here waits for the device, and no step is made for one note alone.
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import next_fast_len
from torch import Tensor

from restorer.training.bank import Bank
from restorer.training.room import EDGE, HISS_LEVEL, LN_1000, TILT_RANGE, band_weights, octaves_of_bins
from restorer.training.session import Desk, Recording, Session
from restorer.training.strips import STRIP, Layout, shelf

_LN_DB = math.log(10) / 20
_ROLL_OFF = 0.08  # a resampled group falls over this share below the lower of the two Nyquist frequencies


class Studio:
    """Plays and records takes of `length` samples on a device, which holds all samples of the banks as 16-bit integers.

    `desk` prepares what `played` plays.
    """

    def __init__(self, banks: Sequence[Bank], length: int, sample_rate: int, device: torch.device | str) -> None:
        self.desk = Desk(banks, length, sample_rate)
        self.length, self.sample_rate, self.device = length, sample_rate, torch.device(device)
        self.n = self.desk.n
        self._tail = 2 * next_fast_len((self.desk.longest_lead + 1) // 2, real=True)  # of the rooms' answers
        samples = torch.from_numpy(shelf(banks)).to(self.device)
        self._shelf = samples.unfold(0, STRIP, 1)  # a view: the strip that begins at each sample
        self._octaves = torch.from_numpy(octaves_of_bins(self.n, sample_rate)).to(self.device)
        self._weights = torch.from_numpy(np.stack(band_weights(self._tail, sample_rate))).to(self.device)

    @torch.no_grad()
    def played(self, session: Session) -> Tensor:
        """(takes, length) float32, on the device, below full scale: what `render` makes of each take, from time 0 on.

        A take's sound is a function of the take, whatever its neighbours, to rounding. Its noise (the hiss, the room's
        late field) is drawn from its seed on the device, by whose kind it differs, and differs from `render`'s; so do
        the room's early reflections and the hum's harmonics.
        """
        how = Recording(*self._sent(session.recording))
        noise = self._noise(session.seeds)
        spectrum = self._strings(session)
        spectrum += self._action(spectrum, session, how)
        spectrum *= torch.fft.rfft(responses(how, noise[:, : self._tail], self._weights, self.sample_rate), self.n)
        spectrum *= equalisers(how, self._octaves)
        spectrum += hisses(how, noise[:, self._tail :], self._octaves, self.n)
        spectrum *= band_limits(how, self.n, self.sample_rate)
        kept = how.lead[:, None] + torch.arange(self.length, device=self.device)
        heard = torch.fft.irfft(spectrum, self.n).gather(1, kept)
        heard += hums(how, self.length)
        peak = heard.abs().amax(1) * how.gain
        return heard * (how.gain / (peak / 0.99).clamp_min(1.0))[:, None]

    def _sent(self, arrays: Iterable[NDArray[np.generic]]) -> list[Tensor]:
        tensors = [torch.from_numpy(array) for array in arrays]
        if self.device.type != "cuda":
            return tensors
        return [tensor.pin_memory().to(self.device, non_blocking=True) for tensor in tensors]

    def _noise(self, seeds: Sequence[int]) -> Tensor:
        """(takes, time and spectrum) of standard normal noise, each row from its seed alone."""
        noise = torch.empty(len(seeds), self._tail + 2 * self._octaves.numel(), device=self.device)
        generator = torch.Generator(self.device)
        for row, seed in zip(noise, seeds, strict=True):
            row.normal_(generator=generator.manual_seed(seed))
        return noise

    def _strings(self, session: Session) -> Tensor:
        """Spectra of the takes' strings, (takes, bins)."""
        take, ratio = self._sent((session.take, session.ratio))
        spectra = torch.zeros(len(session.seeds), self._octaves.numel(), dtype=torch.complex64, device=self.device)
        strips = self._added_up(session.layout)
        for stack in session.layout.stacks:
            mixes = strips[stack.strips].view(stack.groups.stop - stack.groups.start, -1)
            spectra.index_add_(0, take[stack.groups], resampled(mixes, ratio[stack.groups], self.n))
        return spectra

    def _added_up(self, layout: Layout) -> Tensor:
        """All strips of the layout, (strips, STRIP)."""
        heard, source, *columns = self._sent((layout.heard, *layout.slots))
        n_strips = layout.stacks[-1].strips.stop if layout.stacks else 0
        strips = torch.zeros(n_strips, STRIP, device=self.device)
        along = torch.arange(STRIP, dtype=torch.float32, device=self.device)
        for pile in layout.piles:
            start, slope, level = (column[pile.slots, None] for column in columns)
            sound = torch.addcmul(start, slope, along)
            sound = torch.minimum(sound, level, out=sound).exp_()
            sound *= self._shelf[source[pile.slots]]
            strips.index_copy_(0, heard[pile.strips], sound.view(-1, pile.depth, STRIP).sum(1))
        return strips

    def _action(self, spectrum: Tensor, session: Session, how: Recording[Tensor]) -> Tensor:
        """Spectra of what is heard of the keys, re the peak of the strings, whose spectra are given."""
        at, force = self._sent((session.key_at, session.key_force))
        strokes = torch.zeros(len(session.seeds) * self.n, device=self.device).index_add_(0, at, force)
        peak = how.action * torch.fft.irfft(spectrum, self.n).abs().amax(1)
        thumps = torch.fft.rfft(how.thump * peak[:, None], self.n)
        return torch.fft.rfft(strokes.view(-1, self.n)).mul_(thumps)


def resampled(mixes: Tensor, ratio: Tensor, n: int) -> Tensor:
    """The rfft, (groups, n // 2 + 1), of n samples of what each of `mixes`, (groups, time), is at `ratio` times their
    rate; nothing of it lies above either Nyquist frequency. n samples must last as long as the mixes do.

    A chirp z-transform (Rabiner, Schafer and Rader, 1969) sums the mix at the very frequencies of the bins, whatever
    the ratio: 2 k m = k^2 + m^2 - (k - m)^2 makes a convolution of it. Phases need float64: their turns go to 10^5.
    """
    length, bins = mixes.shape[1], n // 2 + 1
    size = 8192 * next_fast_len(-(-(length + bins) // 8192), real=True)  # few sizes: each costs a plan
    number = torch.arange(max(length, bins), dtype=torch.float64, device=mixes.device)
    turns = torch.outer(-0.5 / (n * ratio), number.square()).frac_()
    angle = turns.mul_(2 * math.pi).float()
    chirp = torch.polar(torch.ones((), device=mixes.device), angle)
    spectrum = torch.zeros(len(mixes), size, dtype=torch.complex64, device=mixes.device)
    kernel = torch.zeros_like(spectrum)
    torch.mul(mixes, chirp[:, :length], out=spectrum[:, :length])
    kernel[:, :bins] = chirp[:, :bins]
    kernel[:, size - length + 1 :] = chirp[:, 1:length].flip(1)
    spectrum = torch.fft.fft(spectrum).mul_(torch.fft.fft(kernel.conj_physical_()))
    lower = (0.5 * n * ratio.clamp_max(1.0)).float()[:, None]
    share = (1 - number[:bins].float() / lower).div_(_ROLL_OFF).clamp_(0, 1)
    gain = (0.5 - 0.5 * torch.cos(math.pi * share)) / ratio.float()[:, None]
    return torch.fft.ifft(spectrum)[:, :bins] * chirp[:, :bins] * gain


def responses(how: Recording[Tensor], noise: Tensor, weights: Tensor, sample_rate: int) -> Tensor:
    """`impulse_response` of each take, (takes, time), of standard normal noise, (takes, time); weights: (bands, bins)
    of `band_weights`."""
    length = noise.shape[1]
    number = torch.arange(length, dtype=torch.float32, device=noise.device)
    spectrum = torch.fft.rfft(noise)
    late = torch.zeros_like(noise)
    for weight, decay_s in zip(weights, how.decays_s.unbind(1), strict=True):
        rate = -LN_1000 / (decay_s * sample_rate)
        late += torch.fft.irfft(spectrum * weight, length).mul_(torch.exp(rate[:, None] * number))
    late *= 1 - torch.exp(number / (-sample_rate * how.grows_s[:, None]))
    fade = how.lead[:, None] // 4
    late *= ((how.lead[:, None] - 1 - number) / (fade - 1)).clamp_(0, 1)
    late *= (how.late / torch.linalg.vector_norm(late, dim=1))[:, None]
    late.scatter_add_(1, how.delays, how.early)
    late[:, 0] += how.direct
    return late


def equalisers(how: Recording[Tensor], octaves: Tensor) -> Tensor:
    """`equaliser` of each take, (takes, bins)."""
    gain_db = how.tilt_db[:, None] * octaves.clamp(*TILT_RANGE)
    for centre, width, peak_db in zip(
        how.peak_centre.T[..., None], how.peak_width.T[..., None], how.peak_db.T[..., None], strict=True
    ):
        gain_db += peak_db * torch.exp(-0.5 * ((octaves - centre) / width).square())
    return gain_db.mul_(_LN_DB).exp_()


def hisses(how: Recording[Tensor], noise: Tensor, octaves: Tensor, n: int) -> Tensor:
    """`hiss` of each take, (takes, bins), of standard normal noise, (takes, 2 x bins)."""
    shape = torch.exp(how.hiss_db[:, None] * _LN_DB * octaves.clamp_min(HISS_LEVEL))
    shape *= (how.hiss * math.sqrt(n / 2) / shape.square().mean(1).sqrt())[:, None]
    return torch.view_as_complex(noise.unflatten(1, (-1, 2))) * shape


def band_limits(how: Recording[Tensor], n: int, sample_rate: int) -> Tensor:
    """`band_limit` of each take, (takes, bins)."""
    band_hz = how.band_hz[:, None]
    frequency = torch.arange(n // 2 + 1, dtype=torch.float32, device=band_hz.device) * (sample_rate / n)
    share = ((band_hz - frequency) / (EDGE * band_hz)).clamp_(0, 1)
    return 0.5 - 0.5 * torch.cos(math.pi * share)


def hums(how: Recording[Tensor], length: int) -> Tensor:
    """`hum` of each take, (takes, length): the imaginary part of a polynomial in the mains' fundamental."""
    turns = torch.outer(how.mains, torch.arange(length, dtype=torch.float64, device=how.mains.device)).frac_()
    mains = torch.polar(torch.ones((), device=turns.device), turns.mul_(2 * math.pi).float())
    total = torch.zeros_like(mains)
    for amplitude in how.harmonics.T.flip(0)[..., None]:
        total = total.add_(amplitude).mul_(mains)
    return total.imag
