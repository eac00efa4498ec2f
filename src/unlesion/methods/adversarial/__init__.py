"""Methods that play a game between parts of a network."""
