"""The laws of degradations, one check each: what every A owes, whatever it does to a recording.

Waveforms are (batch, time). `tolerance` is relative to the norm of what is compared; 0 asks for equality.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from restorer.degradation import Degradation, Projectable


def assert_close(actual: Tensor, expected: Tensor, tolerance: float) -> None:
    """||actual - expected|| <= tolerance ||expected||."""
    assert actual.shape == expected.shape, f"{tuple(actual.shape)} is not {tuple(expected.shape)}"
    error, norm = float((actual - expected).norm()), float(expected.norm())
    assert error <= tolerance * norm, f"error {error:.3g} of {norm:.3g}, at most {tolerance:.3g} of it"


def assert_linear_adjoint(A: Degradation, x: Tensor, tolerance: float, seed: int = 0) -> None:
    """A(a x + b z) = a A(x) + b A(z), and <A x, z> = <x, A* z> with A* from autograd, as guidance uses it."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(x.shape, generator=generator, dtype=x.dtype)
    assert_close(A(0.7 * x - 1.3 * z), 0.7 * A(x) - 1.3 * A(z), tolerance)
    leaf = torch.randn(x.shape, generator=generator, dtype=x.dtype, requires_grad=True)  # A* is the same everywhere
    (adjoint,) = torch.autograd.grad(A(leaf), leaf, z)
    left, right = float((A(x) * z).sum()), float((x * adjoint).sum())
    scale = float(A(x).norm() * z.norm())
    assert abs(left - right) <= tolerance * scale, f"<Ax, z> = {left:.9g}, <x, A*z> = {right:.9g}, scale {scale:.3g}"


def assert_differentiable(A: Degradation, x: Tensor) -> None:
    """The gradient of A at x (float64, small, away from kinks) is that of finite differences."""
    assert x.dtype == torch.float64
    assert torch.autograd.gradcheck(A, (x.clone().requires_grad_(),))


def assert_idempotent_projection(A: Projectable, x: Tensor, y: Tensor, tolerance: float = 0.0) -> None:
    """P(P(x)) = P(x), P = project(., y)."""
    once = A.project(x, y)
    assert_close(A.project(once, y), once, tolerance)


def assert_consistent(A: Projectable, x: Tensor, y: Tensor, tolerance: float = 0.0) -> None:
    """A(project(x, y)) = y."""
    assert_close(A(A.project(x, y)), y, tolerance)


def assert_nearest(A: Projectable, x: Tensor, y: Tensor, feasible: Sequence[Tensor], tolerance: float = 0.0) -> None:
    """No point of the convex set {z: A(z) = y} is nearer to x than project(x, y).

    `feasible`: points of that set (checked). The angle at the projection is obtuse, <x - Px, z - Px> <= 0, which for a
    convex set says more than the distances alone. `tolerance` is relative to ||x - Px|| ||z - Px||.
    """
    nearest = A.project(x, y)
    for z in feasible:
        assert_close(A(z), y, tolerance)
        inner = float(((x - nearest) * (z - nearest)).sum())
        scale = float((x - nearest).norm() * (z - nearest).norm())
        assert inner <= tolerance * scale, f"<x - Px, z - Px> = {inner:.3g} > 0: z is nearer"


def assert_scaled(A: Degradation, x: Tensor, gain: Tensor | float, tolerance: float) -> None:
    """A.scaled(gain)(gain x) = gain A(x)."""
    assert_close(A.scaled(gain)(gain * x), gain * A(x), tolerance)


def assert_on_agrees(
    A: Degradation, x: Tensor, starts: Sequence[int], length: int, edge: int = 0, tolerance: float = 0.0
) -> None:
    """A.on(starts, length) of windows of x (1, time) is windows of A(x), but for `edge` samples at each end."""
    whole = A(x)
    windows = torch.cat([x[:, start : start + length] for start in starts])
    expected = torch.cat([whole[:, start : start + length] for start in starts])
    inner = slice(edge, length - edge)
    assert_close(A.on(starts, length)(windows)[:, inner], expected[:, inner], tolerance)
