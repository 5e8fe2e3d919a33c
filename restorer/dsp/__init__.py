"""Signal processing without learning: the constant-Q transform, the whitening equaliser, filter design."""
