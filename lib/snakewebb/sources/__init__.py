"""Sources in an image: finding, deblending, measuring, cataloguing."""

PHOTUTILS = "3.0"
"""The version of photutils that detection, deblending, shapes and star finders agree with."""
