"""Simulated JWST exposures, after stage 2 or before it, with known truth.

``snakewebb.simulate.observation`` puts the parts together; ``snakewebb.simulate.presets`` names
the observations that the demo, the tests and the benchmarks use. ``snakewebb.simulate.stage2``
takes exposures back to what they are before stage 2, and makes its reference files.
"""
