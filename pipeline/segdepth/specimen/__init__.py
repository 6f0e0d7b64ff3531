"""Atomic models: lattice, surfaces, wedges, columns. Knows nothing of electrons or learning. Lengths in pm."""
