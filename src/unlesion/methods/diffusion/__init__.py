"""Methods that add noise and let a network take it off."""
