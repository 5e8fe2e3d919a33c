"""Networks: the shipped octave network and the paper's, each from (waveform, noise condition) to waveform."""
