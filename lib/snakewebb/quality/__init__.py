"""How good a product is, from its own data: what repeats, blank sky and stars tell."""
