"""What is installed, what it runs on, and whether it works: `restorer doctor`, and the lines of `--version`."""

import importlib
import platform
import shutil
import subprocess
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from restorer.cli.arguments import parse_device
from restorer.cli.options import DeviceOption, PriorOption
from restorer.cli.speak import one_line
from restorer.digest import file_hash
from restorer.errors import RestorerError
from restorer.shipped import DEFAULT_PRIOR, find_weights

if TYPE_CHECKING:
    from restorer.prior import Prior

_PACKAGES = ("torch", "torchaudio", "soundfile", "soxr", "numpy", "scipy", "mutagen", "pydub", "safetensors", "tqdm")
_GPUS = Path("/proc/driver/nvidia/gpus")
_PATIENCE_S = 20


@dataclass(frozen=True)
class Finding:
    """found: what there is, or why not. is_broken: something that is needed does not work."""

    what: str
    found: str
    is_broken: bool = False

    def __str__(self) -> str:
        return one_line(f"{'BROKEN' if self.is_broken else 'ok':6}  {self.what:10}  {self.found}")


def doctor(prior: PriorOption = DEFAULT_PRIOR, device: DeviceOption = "auto") -> None:
    """What is installed and whether it works; restores a window of noise. Exits with 1 if something needed is broken.

    restorer doctor
    """
    parse_device(device)
    is_broken = False
    for finding in _findings(prior, device):
        typer.echo(str(finding))
        is_broken |= finding.is_broken
    if is_broken:
        raise typer.Exit(1)


def about() -> str:
    """Version, prior and device, without torch: the GPU is what the driver names, and `doctor` tries it."""
    from restorer import __version__

    try:
        prior = f"{DEFAULT_PRIOR} {file_hash(find_weights(DEFAULT_PRIOR))[:12]}"
    except RestorerError:
        prior = f"{DEFAULT_PRIOR}, which is missing"
    return f"restorer {__version__}\nprior: {prior}\ndevice: {', '.join(_gpus()) or 'cpu'}"


def _findings(prior: str, device: str) -> Iterator[Finding]:
    from restorer import __version__

    yield Finding("restorer", __version__)
    yield Finding("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    packages = [_package(name) for name in _PACKAGES]
    yield from packages
    yield _program("ffmpeg", "-version", "M4A, WMA and what else only ffmpeg reads")
    yield _program("ffprobe", "-version", "M4A, WMA and what else only ffmpeg reads")
    yield _program("sox", "--version", "nothing here, but good company in pipes")
    if any(each.is_broken for each in packages):
        remedy = "install them again: `pip install -e .` in the checkout"
        yield Finding("self-test", f"left out, for packages are broken; {remedy}", True)
        return
    chosen = _tried("device", lambda: _device(device))
    yield chosen
    weights = _tried("weights", lambda: _weights(prior))
    yield weights
    if not chosen.is_broken and not weights.is_broken:
        yield _tried("self-test", lambda: _self_test(prior, device))


def _tried(what: str, look: Callable[[], str]) -> Finding:
    """What looking finds; whatever goes wrong is what a doctor is asked for, so that nothing is let through."""
    try:
        return Finding(what, look())
    except RestorerError as error:
        return Finding(what, str(error), True)
    except Exception as error:
        return Finding(what, f"{type(error).__name__}: {error}", True)


def _package(name: str) -> Finding:
    """Whether it can be imported, not only whether it is there: a torchaudio of another release is not."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="pydub")  # of its own, on two lines, where there is no ffmpeg
            importlib.import_module(name)
        return Finding(name, version(name))
    except PackageNotFoundError:
        return Finding(name, "of unknown version")
    except Exception as error:  # an OSError of a library, a RuntimeError of another release
        return Finding(name, f"{type(error).__name__}: {error}; install it again: pip install {name}", True)


def _program(name: str, option: str, use: str) -> Finding:
    path = shutil.which(name)
    if path is None:
        return Finding(name, f"not on the PATH; it is needed for {use}")
    try:
        done = subprocess.run([path, option], capture_output=True, stdin=subprocess.DEVNULL, timeout=_PATIENCE_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding(name, f"{path} does not run ({error}); install it again", True)
    first = (done.stdout or done.stderr).decode(errors="replace").partition("\n")[0]
    if done.returncode:
        said = first or f"exit code {done.returncode}"
        return Finding(name, f"{path} does not run ({said}); install it again", True)
    return Finding(name, f"{first[:60]} ({path})")


def _device(word: str) -> str:
    import torch

    from restorer.cli.device import choose_device
    from restorer.prior import fast_dtype

    device = torch.device(choose_device(word))
    if device.type == "cuda":
        facts = torch.cuda.get_device_properties(device)
        name = f"{device}, {facts.name}, {facts.total_memory / 1e9:.0f} GB"
    else:
        name = f"cpu, {torch.get_num_threads()} threads"
    return f"{name}, computes in {str(fast_dtype(device)).removeprefix('torch.')}"


def _weights(prior: str) -> str:
    from restorer.prior import load_prior

    path = find_weights(prior)
    load_prior(prior, "cpu")  # what breaks off, or is of another kind, is found by reading all of it
    return f"{path.stem}, {path.stat().st_size / 1e6:.1f} MB, sha256 {file_hash(path)} ({path})"


def _self_test(prior: str, device: str) -> str:
    from time import perf_counter

    from restorer.cli.device import choose_device
    from restorer.prior import load_prior

    loaded = load_prior(prior, choose_device(device))
    begun = perf_counter()
    _restore_window(loaded)
    took_s = perf_counter() - begun
    window_s = loaded.length / loaded.sample_rate
    return f"a window of {window_s:.2f} s restored in {took_s:.2f} s, and what was sound stayed as it was"


def _restore_window(prior: "Prior") -> None:
    """Lets the prior fill a gap in a window of noise. Raises RestorerError if the result is not what it must be."""
    from dataclasses import replace

    import numpy as np

    from restorer.restoration.settings import INPAINT
    from restorer.restoration.stream import restore
    from restorer.restoration.task import Inpainting

    rate, middle_s = prior.sample_rate, prior.length / prior.sample_rate / 2
    noise = 0.1 * np.random.default_rng(0).standard_normal((prior.length, 1))
    first, stop = round(middle_s * rate), round((middle_s + 0.05) * rate)
    noise[first:stop] = 0
    # a gap as short as this would else be autoregression's, and the device not be tried at all
    settings = replace(INPAINT, method="diffusion")
    filled = restore(noise, rate, Inpainting(((middle_s, middle_s + 0.05),)), prior, settings)
    sound = np.ones(len(noise), dtype=bool)
    sound[first - 64 : stop + 64] = False  # the fades beside the gap
    if not np.isfinite(filled).all() or not filled[first:stop].any():
        raise RestorerError(f"{prior.device} gave no sound for a gap in noise; choose --device cpu, or another prior")
    if not np.array_equal(filled[sound], noise[sound]):
        raise RestorerError(f"{prior.device} changed what was sound; choose --device cpu")


def _gpus() -> list[str]:
    try:
        files = [each / "information" for each in sorted(_GPUS.iterdir())]
        lines = [line for file in files for line in file.read_text(errors="replace").splitlines()]
    except OSError:
        return []
    return [line.partition(":")[2].strip() for line in lines if line.startswith("Model:")]
