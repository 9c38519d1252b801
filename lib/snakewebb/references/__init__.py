"""Reference files of CRDS, and which one is for an exposure."""
