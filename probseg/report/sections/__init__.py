"""The page by section: each module turns what was read into what its template shows, and nothing where it has none."""
