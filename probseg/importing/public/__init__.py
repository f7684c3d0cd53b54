"""Public opacity data in the layouts of their downloads, one file a layout."""
