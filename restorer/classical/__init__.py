"""Restoration without a trained prior: sparsity in time and frequency. A baseline, and a start for the diffusion."""
