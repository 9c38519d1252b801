"""Stage 2: from count rates to calibrated exposures. Empty until image2 moves in."""
