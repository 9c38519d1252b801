"""What MAST holds for a product: the list of its files, and the files."""
