"""Where weights are: those that come with the package, by name, or any file, by path. Imports nothing heavy."""

from pathlib import Path

from restorer.errors import WeightsError

DEFAULT_PRIOR = "piano-44k"

_INSTALLED = Path(__file__).parent / "weights"
_CHECKOUT = Path(__file__).parents[1] / "weights"
WEIGHTS = _INSTALLED if _INSTALLED.is_dir() else _CHECKOUT
"""The folder of the shipped weights: in the package, or beside it where the package runs from a checkout."""


def shipped_weights() -> list[Path]:
    """The weights files that come with the package."""
    return sorted(WEIGHTS.glob("*.safetensors"))


def find_weights(name: str | Path) -> Path:
    """The file of shipped weights of that name, or the file at that path; WeightsError says what there is instead."""
    named = {path.stem: path for path in shipped_weights()}
    if str(name) in named:
        return named[str(name)]
    path = Path(name)
    if not path.is_file():
        raise WeightsError(
            f"there is no prior {str(name)!r}; shipped: {', '.join(named) or 'none'}; "
            "or give the path of a .safetensors file"
        )
    if path.suffix != ".safetensors":
        raise WeightsError(f"{path} is not a .safetensors file; read a checkpoint by `restorer weights import` first")
    return path
