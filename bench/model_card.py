"""Writes the card beside a weights file: what it learned from, for how long, and what it reached.

    python bench/model_card.py weights/piano-44k.safetensors --dev dev.json

dev.json comes from `python bench/dev_clips.py FOLDER --json dev.json`; every figure of the card is read from the
weights file or from there.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from outcome import exit_code

from restorer.prior import PRESETS, read_card

TEXT = """\
# {name}

A prior of solo piano for `restorer`: preset `{preset}`, {rate} Hz, windows of {length} samples ({window_s:.2f} s),
{parameters:.2f} million parameters. Weights: CC BY 4.0.

## What it learned from

{data}

- Performances: POP909 (Wang et al., ISMIR 2020), MIT; GiantMIDI-Piano (Kong et al.), CC BY 4.0. Test and validation
  pieces were held out.
- Pianos: Salamander Grand Piano V3 (Alexander Holm), CC BY 3.0: a Yamaha C5, 30 pitches, 16 velocity layers; and
  Splendid Grand Piano (AKAI), public domain, as adapted in MuseScore_General (S. Christian Collins), MIT.
- Rendered while training, with random transposition, tempo, tuning, touch, half pedal, keys out of tune, beating
  strings, noise of the action, damping, room, equalisation, band limit, hiss, hum and level.

How it came about, run by run: TRAINING.md.

It has heard two sampled grand pianos, and no recording. Other instruments, voices and old recordings it does not know.

## How

{steps} steps, {hours:.2f} hours: {device};
whitened domain, exponent {whitening:g}, range {cap_db:g} dB. In the last run: Muon (rate {muon_rate:g}) for
convolutions, Adam ({adam_rate:g}) for the rest; noise levels ln sigma ~ N({level_mean:g}, {level_std:g}^2); in seven
windows of ten a part was known: the lows, what lies around a gap, or both; weights averaged by a power function
(exponent {ema_shape:g}).

Validation loss (EDM's weighting: 1 is a network that says nothing), averaged weights, by noise level; "highs" where all
below 1.4 kHz, "gap" where all but a quarter of the window is known:

{losses}

Over the whole training, whose corpus and rate changed where TRAINING.md says ([{name}.csv]({name}.csv),
`bench/training_curve.py`):

![Validation loss by noise level over the hours of training]({name}.png)

## What it reached

On three real recordings of solo piano that it never heard, with the presets (means; `bench/dev_clips.py`):

{dev}
"""


def card_text(name: str, preset: str, parameters: int, facts: Mapping[str, Any], dev: Mapping[str, Any]) -> str:
    """The card as Markdown; facts: of the weights file; dev: the JSON of dev_clips.py."""
    training = facts["training"]
    losses = facts["validation_loss"]
    return TEXT.format(
        name=name,
        preset=preset,
        rate=PRESETS[preset].sample_rate,
        length=PRESETS[preset].length,
        window_s=PRESETS[preset].length / PRESETS[preset].sample_rate,
        parameters=parameters / 1e6,
        data=facts["data"] + ".",
        steps=facts["steps"],
        hours=facts["hours"],
        device=facts["device"],
        losses=_table(
            ["sigma", *(name.replace("_", ", ") for name in losses)],
            [["loss", *(f"{value:.3f}" for value in losses.values())]],
        ),
        dev="\n\n".join(_dev_tables(dev["means"])),
        **{key: training[key] for key in ("muon_rate", "adam_rate", "level_mean", "level_std", "ema_shape")},
        whitening=training["whitening"],
        cap_db=training["cap_db"],
    )


COLUMNS = {
    "bwe": {
        "cutoff_hz": "cutoff, Hz",
        "lsd_in": "LSD in",
        "lsd_out": "LSD out",
        "lsd_ratio": "ratio",
        "likeness": "likeness",
        "level_error_db": "worst third octave, dB",
        "quiet_error_db": "in quiet passages, dB",
        "in_band_change_db": "change below the cutoff, dB",
    },
    "inpaint": {
        "gap_s": "gap, s",
        "lsd_in": "LSD in the gap, zeros",
        "lsd_out": "filled",
        "octave_error_db": "worst octave, dB",
        "worst_click_ratio": "largest step re surroundings",
    },
    "declip": {
        "input_sdr_db": "SDR in, dB",
        "sdr_out": "SDR out",
        "sdr_gain": "gain",
        "lsd_in": "LSD in",
        "lsd_out": "LSD out",
    },
}


def _dev_tables(means: Sequence[Mapping[str, Any]]) -> list[str]:
    tables = []
    for task, columns in COLUMNS.items():
        rows = [[f"{row[key]:.4g}" for key in columns] for row in means if row["task"] == task]
        if rows:
            tables.append(f"`{task}`:\n\n" + _table(list(columns.values()), rows))
    return tables


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--dev", type=Path, required=True, metavar="JSON")
    given = parser.parse_args(words)
    return exit_code(lambda: write_card(given.weights, given.dev))


def write_card(weights: Path, dev: Path) -> None:
    card = read_card(weights)
    network = PRESETS[card.preset].build()
    parameters = sum(parameter.numel() for parameter in network.parameters())
    text = card_text(card.name, card.preset, parameters, card.facts, json.loads(dev.read_text()))
    weights.with_suffix(".md").write_text(text)


if __name__ == "__main__":
    sys.exit(main())
