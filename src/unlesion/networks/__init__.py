"""Building blocks that methods share: one idea a file, for slices and volumes alike."""
