"""Signal processing without learning: the constant-Q transform, the whitening equaliser, filter design."""

LOWEST_CUTOFF_HZ = 20.0
"""Where hearing begins: a lower cutoff is a slip (1 for 1k), and its filters would have millions of taps."""
