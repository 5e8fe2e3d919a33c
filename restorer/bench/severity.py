"""What the quality benchmark does to clean recordings, and how strongly; light enough to be asked before torch."""

from dataclasses import dataclass
from typing import Literal, get_args

TaskName = Literal["bwe", "inpaint", "declip"]
TASKS: tuple[TaskName, ...] = get_args(TaskName)


@dataclass(frozen=True)
class Severity:
    """value: the cutoff in Hz (bwe), the length of the gaps in seconds (inpaint), the input SDR in dB (declip)."""

    task: TaskName
    value: float

    def __str__(self) -> str:
        match self.task:
            case "bwe":
                return f"{self.value / 1000:g} kHz"
            case "inpaint":
                return f"{1000 * self.value:g} ms"
            case "declip":
                return f"{self.value:g} dB"


SEVERITIES = (
    *(Severity("bwe", cutoff_hz) for cutoff_hz in (1000.0, 3000.0)),
    *(Severity("inpaint", gap_s) for gap_s in (0.02, 0.05, 0.1, 0.375, 0.75, 1.5)),
    *(Severity("declip", sdr_db) for sdr_db in (1.0, 3.0, 5.0, 7.0, 10.0, 15.0, 20.0)),
)
"""Those of Moliner et al. 2022 (low-passes, clipping), Zaviska et al. 2021 (clipping) and the inpainting literature."""
