"""JWST products on disk."""
