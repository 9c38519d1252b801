"""snakewebb: JWST imaging and coronagraphy as a workflow.

Import the modules you need: ``from snakewebb.mosaicking import resample``. Nothing is re-exported
here, because a job costs its imports.
"""

__version__ = "0.2.0"
