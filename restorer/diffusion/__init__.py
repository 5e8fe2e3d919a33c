"""Diffusion: preconditioning, noise levels, samplers, and the denoisers that know a measurement."""
