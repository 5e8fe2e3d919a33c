"""The device that was asked for, as far as it is there. Imports torch."""

import torch

from restorer.errors import UsageError


def choose_device(word: str) -> str:
    """`auto` is the first GPU, else the CPU. UsageError for a GPU that is not there."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if word == "auto":
        return "cuda" if count else "cpu"
    if word != "cpu" and int(word.partition(":")[2] or 0) >= count:
        there = f"{count} of them" if count else "none"
        raise UsageError(f"--device {word} is not here: torch finds {there}; choose --device cpu or auto")
    return word
