"""Measures of a restoration against the original, on one-dimensional signals in full-scale units.

lsd     log_spectral_distance: spectrograms apart, in log10 power
levels  third-octave and octave levels and their errors in dB, quiet passages on their own
sdr     signal-to-distortion ratio in dB, and the threshold that clips to one
seams   clicks at gap edges, levels where windows overlap

With packages of the extra `restorer[quality]`, which are imported where they are used:

fad         Frechet audio distance of sets of embeddings (musicnn, tf_checkpoint: a network for them)
onsets      F1 of the notes that a piano transcriber finds
perceptual  Zimtohrli, the 2f-model, ViSQOL

interval  means with confidence intervals
"""
