"""The quality benchmark's tables as pictures: for each task one, for each measure a panel."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from restorer.bench.measures import Measure
from restorer.bench.quality import Row
from restorer.bench.severity import TaskName

_AXIS: dict[TaskName, str] = {"bwe": "cutoff", "inpaint": "length of the gaps", "declip": "input SDR"}
_COLUMNS = 3
_SPREAD = 0.5  # of the way to the next severity: methods stand side by side, so that their bars can be told apart


def plot_tables(rows: Sequence[Row], measures: Sequence[Measure], folder: Path) -> list[Path]:
    """A PNG for each task in `folder` (made if need be): mean over severity, a line for each method, bars for the
    intervals. Returns their paths; a task of which nothing could be measured has none. Needs matplotlib."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for task in dict.fromkeys(row.task for row in rows):
        of_task = [row for row in rows if row.task == task]
        if shown := [measure for measure in measures if any(row.values.get(measure.name) for row in of_task)]:
            written.append(folder / f"{task}.png")
            _picture(task, of_task, shown, written[-1])
    return written


def _picture(task: TaskName, rows: Sequence[Row], shown: Sequence[Measure], path: Path) -> None:
    from matplotlib.figure import Figure

    height = math.ceil(len(shown) / _COLUMNS)
    figure = Figure(figsize=(4.5 * _COLUMNS, 3.2 * height), layout="constrained")
    panels = figure.subplots(height, _COLUMNS, squeeze=False).flat
    for measure, panel in zip(shown, panels, strict=False):
        _panel(panel, rows, measure)
        panel.set_xlabel(_AXIS[task])
        panel.set_title(f"{measure.title} ({'higher' if measure.higher_is_better else 'lower'} is better)")
    for panel in list(figure.axes)[len(shown) :]:
        panel.remove()
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=_COLUMNS)
    figure.savefig(path, dpi=120)


def _panel(panel: Any, rows: Sequence[Row], measure: Measure) -> None:
    severities = list(dict.fromkeys(row.severity for row in rows))
    methods = list(dict.fromkeys(row.method for row in rows))
    for number, method in enumerate(methods):
        beside = _SPREAD * ((number + 0.5) / len(methods) - 0.5)
        points = [
            (severities.index(row.severity) + beside, mean.mean, mean.half_width or 0.0)
            for row in rows
            if row.method == method and (mean := row.values.get(measure.name)) is not None and math.isfinite(mean.mean)
        ]
        at, means, widths = zip(*points, strict=True) if points else ((), (), ())
        panel.errorbar(at, means, yerr=widths, label=method, marker="o", markersize=3, capsize=2, linewidth=1)
    panel.set_xticks(range(len(severities)), [str(severity) for severity in severities])
