"""Sources in an image: finding, deblending, measuring, cataloguing."""
