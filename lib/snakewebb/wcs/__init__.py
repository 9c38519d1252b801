"""Nouns of the sky: geometry of exposures, grids, pixel maps, gWCS, SIP."""
