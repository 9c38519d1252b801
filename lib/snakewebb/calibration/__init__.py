"""Stage 2: from count rates to calibrated exposures.

Steps take the planes of an exposure and change them in place: SCI, ERR, DQ and variances, of which
all but SCI and DQ may be missing. What they need of reference files is read before.
"""
