"""Methods that redraw a scan through what its anatomy is thought to be."""
