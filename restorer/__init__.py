"""Restores recordings with a diffusion prior: lost highs, gaps and clipping.

    from restorer import BandwidthExtension, load_prior, restore_file

    restore_file("take.flac", "bright.flac", BandwidthExtension(cutoff_hz=1000), load_prior())

restore_file, restore, RestoringStream   a file; an array; blocks as they come
BandwidthExtension, Inpainting, Declipping, Repair   what a recording has suffered, which is what is repaired
detect_file, detect, task_of   what it has suffered, where nobody knows
load_prior, read_card, generate   the model of music, and what it plays by itself

The floors, from the top; each imports only from those below:

    cli                                   the shell command: words to values, errors to one line
    training, bench                       making priors; how fast and how good they are
    restoration                           a recording from file to file: windows, stages, engine, jobs, plans
    prior                                 weights on disk <-> a denoiser
    network, diffusion, classical         networks; sampling and guidance; what needs no prior
    degradation, metrics                  what a recording may have suffered; how well it was undone
    dsp, audio, digest, shipped           transforms and filters; sound files and pipes; hashes; the weights within
    errors, hush                          what goes wrong, in one line; standard error, which decoders share

Names are imported when they are first used, so that importing the package costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from restorer.audio import AudioFormat
    from restorer.degradation.detect import Findings
    from restorer.errors import AudioError, RestorerError, UsageError, WeightsError
    from restorer.prior import Prior, load_prior, read_card
    from restorer.restoration.engine import generate
    from restorer.restoration.find import detect, detect_file, task_of
    from restorer.restoration.job import Report, restore_file
    from restorer.restoration.settings import BWE, DECLIP, GENERATE, INPAINT, Settings, preset_of
    from restorer.restoration.stream import Progress, RestoringStream, restore
    from restorer.restoration.task import UNDAMAGED, BandwidthExtension, Declipping, Inpainting, Repair, Task
    from restorer.restoration.wanted import Wanted

__all__ = [
    "BWE",
    "DECLIP",
    "GENERATE",
    "INPAINT",
    "UNDAMAGED",
    "AudioError",
    "AudioFormat",
    "BandwidthExtension",
    "Declipping",
    "Findings",
    "Inpainting",
    "Prior",
    "Progress",
    "Repair",
    "Report",
    "RestorerError",
    "RestoringStream",
    "Settings",
    "Task",
    "UsageError",
    "Wanted",
    "WeightsError",
    "__version__",
    "detect",
    "detect_file",
    "generate",
    "load_prior",
    "preset_of",
    "read_card",
    "restore",
    "restore_file",
    "task_of",
]

__version__: str

_HOMES = {
    "restorer.audio": ("AudioFormat",),
    "restorer.degradation.detect": ("Findings",),
    "restorer.errors": ("AudioError", "RestorerError", "UsageError", "WeightsError"),
    "restorer.prior": ("Prior", "load_prior", "read_card"),
    "restorer.restoration.engine": ("generate",),
    "restorer.restoration.find": ("detect_file", "detect", "task_of"),
    "restorer.restoration.job": ("Report", "restore_file"),
    "restorer.restoration.settings": ("BWE", "DECLIP", "GENERATE", "INPAINT", "Settings", "preset_of"),
    "restorer.restoration.stream": ("Progress", "RestoringStream", "restore"),
    "restorer.restoration.task": ("UNDAMAGED", "BandwidthExtension", "Declipping", "Inpainting", "Repair", "Task"),
    "restorer.restoration.wanted": ("Wanted",),
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
