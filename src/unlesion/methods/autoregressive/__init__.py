"""Methods that foretell an image's codes one after another."""
