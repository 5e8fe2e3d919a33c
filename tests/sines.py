"""A bank of sines, and a note to play on it."""

from pathlib import Path

import numpy as np

from restorer.training.bank import LEAD_S, Bank, load_bank, save_bank
from restorer.training.score import Notes


def sine_bank(path: Path, rate: int) -> Bank:
    """Slowly decaying sines, every minor third, two layers 20 dB apart, channels of two signs."""
    time = np.arange(2 * rate) / rate - LEAD_S
    notes, pitches, velocities = [], [], []
    for pitch in range(21, 109, 3):
        for velocity, peak in ((32, 0.02), (96, 0.2)):
            tone = peak * np.cos(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * time) * np.exp(-time) * (time >= 0)
            notes.append(np.stack([tone, -tone]).astype(np.float32))
            pitches.append(pitch)
            velocities.append(velocity)
    save_bank(path, notes, np.array(pitches), np.array(velocities), rate, name="sines", licence="CC0")
    return load_bank(path)


def one_note(pitch: float = 69, onset_s: float = 0.1, stop_s: float = 5.0, velocity: float = 64) -> Notes:
    key, touch = np.array([pitch], np.float32), np.array([velocity], np.float32)
    return Notes(np.array([onset_s]), np.array([stop_s]), key, touch)
