"""The quality benchmark's tables: as text, and as what JSON holds."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from restorer.bench.measures import Measure
from restorer.bench.quality import Result, Row
from restorer.metrics.interval import CONFIDENCE, Mean

SPEED = "s/s"
CAPTION = f"mean ± half of its {CONFIDENCE:.0%} interval (Student's t over recordings); FAD: one distance of all"


def table_lines(rows: Sequence[Row], measures: Sequence[Measure]) -> list[str]:
    """The lines of one task's table, a row for each severity and method."""
    shown = [measure for measure in measures if measure.name in rows[0].values]
    head = ["severity", "method", "n", *(measure.title for measure in shown), SPEED]
    body = [
        [
            str(row.severity),
            row.method,
            str(row.recordings),
            *(_cell(row.values[measure.name], measure.digits) for measure in shown),
            _cell(row.speed, 2),
        ]
        for row in rows
    ]
    widths = [max(map(len, column)) for column in zip(head, *body, strict=True)]
    return [_line(cells, widths) for cells in [head, *body]]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Words to the left, numbers to the right."""
    words = [cell.ljust(width) for cell, width in zip(cells[:2], widths[:2], strict=True)]
    return "  ".join([*words, *(cell.rjust(width) for cell, width in zip(cells[2:], widths[2:], strict=True))])


def _cell(mean: Mean | None, digits: int) -> str:
    if mean is None:
        return "-"
    half = "" if mean.half_width is None else f" ±{mean.half_width:.{digits}f}"
    return f"{mean.mean:.{digits}f}{half}"


def as_json(rows: Sequence[Row], results: Sequence[Result]) -> dict[str, Any]:
    """Rows and single results; no embeddings, and null for what is infinite, such as the SDR of an exact copy."""
    return {
        "interval": CAPTION,
        "rows": [
            {
                "task": row.task,
                "severity": row.severity.value,
                "method": row.method,
                "recordings": row.recordings,
                "seconds_a_second": _plain(row.speed),
                "values": {name: _plain(mean) for name, mean in row.values.items()},
            }
            for row in rows
        ],
        "results": [
            {
                "recording": result.recording,
                "task": result.severity.task,
                "severity": result.severity.value,
                "method": result.method,
                "seconds": result.seconds,
                "computing_s": result.computing_s,
                "values": {
                    name: value if isinstance(value, float) and math.isfinite(value) else None
                    for name, value in result.values.items()
                    if not isinstance(value, np.ndarray)
                },
            }
            for result in results
        ],
    }


def _plain(mean: Mean | None) -> dict[str, Any] | None:
    if mean is None:
        return None
    return {**asdict(mean), "mean": mean.mean if math.isfinite(mean.mean) else None}
