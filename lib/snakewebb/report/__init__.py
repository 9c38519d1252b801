"""Figures, pictures and the pages of status."""
