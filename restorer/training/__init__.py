"""How a prior learns: endless excerpts of music, made while training, and the loop that fits a network to them."""
