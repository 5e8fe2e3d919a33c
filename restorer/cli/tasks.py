"""The commands that restore: bwe, declip, inpaint, repair. Each says what is wrong; the options they share are one."""

from pathlib import Path
from typing import Annotated

import typer

from restorer.cli.arguments import parse_frequency, parse_gaps, parse_threshold
from restorer.cli.labels import read_labels
from restorer.cli.shared import restoring
from restorer.errors import UsageError
from restorer.restoration.task import BandwidthExtension, Declipping, Inpainting, Kind, Part, Search, Task, joined

AUTO = "auto"

CutoffOption = Annotated[
    str | None,
    typer.Option(
        "--cutoff", metavar="FREQUENCY", show_default=False, help="Nothing is left above: 1k, 1.5kHz, 3000 or auto."
    ),
]
ThresholdOption = Annotated[
    str | None,
    typer.Option(
        "--threshold",
        metavar="LEVEL",
        show_default=False,
        help="Peaks were cut there: 0.3 of full scale, -10dB, or auto.",
    ),
]
GapOption = Annotated[
    list[str] | None,
    typer.Option("--gap", metavar="FROM-TO", show_default=False, help="2.0-2.5 or 1:02.5-1:03, repeatable; or auto."),
]
GapsOption = Annotated[
    Path | None,
    typer.Option(
        "--gaps", metavar="FILE", show_default=False, help="Gaps as Audacity's labels, such as `detect` writes."
    ),
]


@restoring
def bwe(cutoff: CutoffOption = None) -> Task | Search:
    """Bandwidth extension: give dull recordings their highs back.

    restorer bwe album/ --cutoff 1k --out restored/
    """
    if cutoff is None:
        raise UsageError("bwe needs the highest frequency that is left; give --cutoff 1k, or --cutoff auto to find it")
    return _asked(cutoff=cutoff)


@restoring
def declip(threshold: ThresholdOption = None) -> Task | Search:
    """Declipping: rebuild peaks that were cut off.

    restorer declip take.flac --threshold 0.3
    """
    if threshold is None:
        raise UsageError(
            "declip needs the level of the flattened peaks; give --threshold 0.3 or -10dB, or --threshold auto"
        )
    return _asked(threshold=threshold)


@restoring
def inpaint(gap: GapOption = None, gaps: GapsOption = None) -> Task | Search:
    """Inpainting: fill gaps and dropouts.

    cat in.wav | restorer inpaint --gap 2.0-2.5 - > out.wav
    """
    if not gap and gaps is None:
        raise UsageError("inpaint needs the gaps; give --gap 2.0-2.5, --gaps labels.txt, or --gap auto to find them")
    return _asked(gap=gap, gaps=gaps)


@restoring
def repair(
    cutoff: CutoffOption = None, threshold: ThresholdOption = None, gap: GapOption = None, gaps: GapsOption = None
) -> Task | Search:
    """Several kinds of damage at once, in one pass; without any named, all that can be found.

    restorer repair take.flac --cutoff 4k --threshold 0.5 --gap 2.0-2.1
    """
    if cutoff is None and threshold is None and not gap and gaps is None:
        return _asked(cutoff=AUTO, threshold=AUTO, gap=[AUTO])
    return _asked(cutoff=cutoff, threshold=threshold, gap=gap, gaps=gaps)


def _asked(
    cutoff: str | None = None, threshold: str | None = None, gap: list[str] | None = None, gaps: Path | None = None
) -> Task | Search:
    """The task of what is known, or the search for what is to be found."""
    words = gap or []
    known: list[Part] = []
    if cutoff not in (None, AUTO):
        known.append(BandwidthExtension(parse_frequency(str(cutoff))))
    if threshold not in (None, AUTO):
        known.append(Declipping(parse_threshold(str(threshold))))
    if given := parse_gaps([word for word in words if word != AUTO]):
        known.append(Inpainting(given))
    if gaps is not None:
        known.append(read_labels(gaps))
    asked: dict[Kind, bool] = {"cutoff": cutoff == AUTO, "clipping": threshold == AUTO, "gaps": AUTO in words}
    searched = tuple(kind for kind, is_auto in asked.items() if is_auto)
    return Search(searched, tuple(known)) if searched else joined(known)
