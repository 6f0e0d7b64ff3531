"""From probability maps and counts to columns that keep the name of their lattice site over a film."""

from segdepth.micrograph.columns.film import COLUMNS, FilmSites, find_columns

__all__ = ["COLUMNS", "FilmSites", "find_columns"]
