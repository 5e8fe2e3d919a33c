"""How weights learn: those that act by their direction by Muon, all others by Adam.

Muon (K. Jordan et al. 2024) takes the momentum of a weight matrix to the nearest one whose singular values are all 1,
so that a step turns every direction alike. The figures that chose it are in weights/TRAINING.md.
"""

import torch
from torch import nn

from restorer.network.layers import Conv
from restorer.training.settings import TrainSettings


def new_optimizers(network: nn.Module, settings: TrainSettings, pace: float = 1.0) -> list[torch.optim.Optimizer]:
    """Muon for the weights of Conv layers, if there are any, and Adam for the rest; at `pace` times the set rates."""
    directions = _directions(network)
    apart = {id(weight) for weight in directions}
    others = [parameter for parameter in network.parameters() if id(parameter) not in apart]
    made: list[torch.optim.Optimizer] = []
    if directions:
        # Steps of 0.2 rate a weight, about as Adam's are; the rows have unit variance, so each turns by 0.2 rate.
        made.append(
            torch.optim.Muon(directions, lr=pace * settings.muon_rate, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
        )
    if others:
        made.append(torch.optim.Adam(others, lr=pace * settings.adam_rate, betas=(0.9, 0.99), fused=True))
    for optimizer in made:
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
    return made


def rates(optimizers: list[torch.optim.Optimizer]) -> dict[str, float]:
    """The highest rate of each, by the names that TrainSettings has for them."""
    return {
        f"{type(optimizer).__name__.lower()}_rate": group["initial_lr"]
        for optimizer in optimizers
        for group in optimizer.param_groups
    }


def step(optimizers: list[torch.optim.Optimizer], share: float) -> None:
    """A step at `share` of the highest rates."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = share * group["initial_lr"]
        optimizer.step()


@torch.no_grad()
def renormalise(network: nn.Module) -> None:
    """Back to unit variance: these weights act by their direction alone, and a growing norm would slow their learning.

    Karras et al. 2024, "forced weight normalisation".
    """
    for weight in _directions(network):
        weight.div_(weight.square().mean(dim=1, keepdim=True).sqrt())


def _directions(network: nn.Module) -> list[nn.Parameter]:
    """The weights that act by their direction alone."""
    return [module.weight for module in network.modules() if isinstance(module, Conv)]
