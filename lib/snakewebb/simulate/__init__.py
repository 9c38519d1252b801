"""Simulated JWST stage-2 exposures with known truth.

``snakewebb.simulate.observation`` puts the parts together; ``snakewebb.simulate.presets`` names
the observations that the demo, the tests and the benchmarks use.
"""
