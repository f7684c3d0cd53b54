"""The viewer in the page: scans with what raters drew and what a model predicts, turned and scrolled in a browser."""
