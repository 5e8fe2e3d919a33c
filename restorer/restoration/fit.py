"""Whether a task makes sense for a recording; light enough to be asked before anything heavy is imported."""

from restorer.errors import UsageError
from restorer.restoration.task import BandwidthExtension, Declipping, Inpainting, Part, Repair, Task, parts_of

LONGEST_GAP_S = 1.0
"""Of a gap that shares its windows with other damage: such a window hears nothing of its neighbours."""

READING_S = 1e-3
"""By which a gap may reach beyond the end: it may be given as a player shows it, to the millisecond."""


def require_fit(task: Task, sample_rate: int, duration_s: float | None, name: str) -> None:
    """Raises UsageError if the recording `name` cannot have suffered this; duration_s is None where it is unknown."""
    for part in parts_of(task):
        _require_fit(part, sample_rate, duration_s, name)
    if isinstance(task, Repair):
        _require_short_gaps(task, name)


def _require_short_gaps(task: Repair, name: str) -> None:
    for part in task.parts:
        if isinstance(part, Inpainting) and len(task.parts) > 1:
            long = [gap for gap in part.gaps_s if gap[1] - gap[0] > LONGEST_GAP_S]
            if long:
                raise UsageError(
                    f"the gap {long[0][0]:g}-{long[0][1]:g} of {name} is too long to be filled together with other "
                    f"damage, {LONGEST_GAP_S:g} s at most; fill it first with inpaint, then repair the rest"
                )


def _require_fit(part: Part, sample_rate: int, duration_s: float | None, name: str) -> None:
    match part:
        case BandwidthExtension(cutoff_hz) if cutoff_hz >= sample_rate / 2:
            raise UsageError(
                f"a cutoff of {cutoff_hz:g} Hz is not below {sample_rate / 2:g} Hz, the highest frequency that {name} "
                f"can hold at {sample_rate} Hz; give the highest frequency that is left in it, such as 1k"
            )
        case Inpainting(gaps_s) if wrong := [gap for gap in gaps_s if not 0 <= gap[0] < gap[1]]:
            raise UsageError(
                f"the gap {wrong[0][0]:g}-{wrong[0][1]:g} of {name} does not end after it begins, at 0 s or later; "
                "give gaps as (from, to) in seconds"
            )
        case Inpainting(gaps_s) if duration_s is not None:
            beyond = [gap for gap in gaps_s if gap[1] > duration_s + READING_S]
            if beyond:
                raise UsageError(
                    f"the gap {beyond[0][0]:g}-{beyond[0][1]:g} reaches beyond the end of {name}; "
                    f"give gaps within its {duration_s:.3f} s"
                )
        case BandwidthExtension() | Inpainting() | Declipping():
            pass
