"""Who restored what, where it was not the prior alone: in lines for the user."""

from collections.abc import Sequence

from restorer.restoration.damage.light import split
from restorer.restoration.settings import Method
from restorer.restoration.stream import RestoringStream
from restorer.restoration.task import UNDAMAGED, BandwidthExtension, Declipping, Gap, Inpainting, Task, parts_of

_LISTED = 4


def choices(task: Task, method: Method, stream: RestoringStream, seconds: float) -> list[str]:
    """A line for each kind of damage that a classical method had to do with. seconds: the recording's."""
    lines = []
    for part in parts_of(task):
        match part:
            case Inpainting():
                by_method = {"auto": split(part), "classical": (part, UNDAMAGED), "diffusion": (UNDAMAGED, part)}
                light, heavy = ([gap for gap in each.gaps_s if gap[0] < seconds] for each in by_method[method])
                others = f"; by the prior: {_listed(heavy)}" if heavy else ""
                lines += [f"filled by autoregression: {_listed(light)}{others}"] if light else []
            case Declipping() if stream.windows_classical:
                prior = f", after it by the prior in {stream.windows_prior}" if stream.windows_prior else ""
                lines.append(f"peaks rebuilt by social sparsity in {stream.windows_classical} windows{prior}")
            case BandwidthExtension() if method == "classical":
                lines.append("highs by band replication")
            case _:
                pass
    return lines


def _listed(gaps_s: Sequence[Gap]) -> str:
    """The first gaps by their seconds, and how many there are besides."""
    named = ", ".join(f"{first:.3f}-{stop:.3f}" for first, stop in gaps_s[:_LISTED])
    return f"{named} and {len(gaps_s) - _LISTED} more" if len(gaps_s) > _LISTED else named
