"""Steps of coronagraphy: alignment, subtraction of the star, contrast."""
