"""Measures of a restoration against the original, on one-dimensional signals in full-scale units.

lsd     log_spectral_distance: spectrograms apart, in log10 power
levels  third-octave and octave levels and their errors in dB, quiet passages on their own
sdr     signal-to-distortion ratio in dB, and the threshold that clips to one
seams   clicks at gap edges, levels where windows overlap
"""
