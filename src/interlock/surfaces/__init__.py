"""One published API each; surfaces do not know one another."""
