"""SegDepth: from atoms to micrographs to the number of atoms behind every pixel."""

__version__ = "0.1.0"
