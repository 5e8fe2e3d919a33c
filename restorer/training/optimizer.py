"""How weights learn: those that act by their direction by Muon, all others by Adam.

Muon (K. Jordan et al. 2024) takes the momentum of a weight matrix to the nearest one whose singular values are all 1,
so that a step turns every direction alike. The figures that chose it are in weights/TRAINING.md.
"""

import math

import torch
from torch import Tensor, nn

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
        made.append(Muon(directions, lr=pace * settings.muon_rate, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"))
    if others:
        made.append(torch.optim.Adam(others, lr=pace * settings.adam_rate, betas=(0.9, 0.99), fused=True))
    for optimizer in made:
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
    return made


class Muon(torch.optim.Muon):
    """torch's, but for matrices of one shape at once: one after the other they are two thousand small orders a step,
    which take a processor longer than a GPU needs for all else. Without weight decay."""

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            weights, gradients, momenta = list[Tensor](), list[Tensor](), list[Tensor]()
            self._init_group(group, weights, gradients, momenta)
            torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
            updates = torch._foreach_lerp(gradients, momenta, group["momentum"])  # Nesterov's
            for shape in dict.fromkeys(weight.shape for weight in weights):
                same = [i for i, weight in enumerate(weights) if weight.shape == shape]
                stack = torch.stack([updates[i] for i in same])
                turns = _orthogonal(stack, group["ns_coefficients"], group["ns_steps"], group["eps"])
                # of the size that Adam's have (Liu et al. 2025), as torch's "match_rms_adamw"
                rate = 0.2 * math.sqrt(max(shape)) * group["lr"]
                torch._foreach_add_([weights[i] for i in same], list(turns.to(stack).unbind()), alpha=-rate)


def _orthogonal(stack: Tensor, coefficients: tuple[float, float, float], n_steps: int, eps: float) -> Tensor:
    """Nearly the orthogonal matrix next to each of `stack` (matrices, rows, columns), in bfloat16, by n_steps of the
    Newton-Schulz iteration (Jordan et al. 2024)."""
    a, b, c = coefficients
    tall = stack.shape[1] > stack.shape[2]
    x = (stack.mT if tall else stack).bfloat16()
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=eps)
    for _ in range(n_steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


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
    weights: list[Tensor] = list(_directions(network))
    scales = [torch.linalg.vector_norm(weight, dim=1, keepdim=True) / math.sqrt(weight.shape[1]) for weight in weights]
    torch._foreach_div_(weights, scales)


def _directions(network: nn.Module) -> list[nn.Parameter]:
    """The weights that act by their direction alone."""
    return [module.weight for module in network.modules() if isinstance(module, Conv)]
