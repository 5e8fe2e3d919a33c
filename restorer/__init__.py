"""Restores recordings with a diffusion prior: lost highs, gaps and clipping.

    from restorer import BandwidthExtension, BWE, load_prior, restore_file

    restore_file(Path("take.flac"), Path("bright.flac"), BandwidthExtension(1000), load_prior(), BWE)

The floors, from the top; each imports only from those below:

    cli                                   the shell command: words to values, errors to one line
    training, bench                       making priors; timing them
    restore                               a recording from file to file: windows, engine, jobs, plans
    prior                                 weights on disk <-> a denoiser
    network, diffusion, classical         networks; sampling and guidance; what needs no prior
    degradation, metrics                  what a recording may have suffered; how well it was undone
    dsp, audio                            transforms and filters; sound files and pipes
    errors

Names are imported when they are first used, so that importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from restorer.errors import AudioError, RestorerError, UsageError, WeightsError
    from restorer.prior import Prior, load_prior, read_card
    from restorer.restore.job import Report, restore_file
    from restorer.restore.settings import BWE, DECLIP, GENERATE, INPAINT, Settings
    from restorer.restore.stream import Progress, restore_signal
    from restorer.restore.task import BandwidthExtension, Declipping, Inpainting, Task

__all__ = [
    "BWE",
    "DECLIP",
    "GENERATE",
    "INPAINT",
    "AudioError",
    "BandwidthExtension",
    "Declipping",
    "Inpainting",
    "Prior",
    "Progress",
    "Report",
    "RestorerError",
    "Settings",
    "Task",
    "UsageError",
    "WeightsError",
    "__version__",
    "load_prior",
    "read_card",
    "restore_file",
    "restore_signal",
]

__version__: str

_HOMES = {
    "restorer.errors": ("AudioError", "RestorerError", "UsageError", "WeightsError"),
    "restorer.prior": ("Prior", "load_prior", "read_card"),
    "restorer.restore.job": ("Report", "restore_file"),
    "restorer.restore.settings": ("BWE", "DECLIP", "GENERATE", "INPAINT", "Settings"),
    "restorer.restore.stream": ("Progress", "restore_signal"),
    "restorer.restore.task": ("BandwidthExtension", "Declipping", "Inpainting", "Task"),
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module 'restorer' has no attribute {name!r}")


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("restorer")
    except PackageNotFoundError:
        return "0+checkout"  # run from a checkout that was never installed
