"""Atomic models: lattice, surfaces, wedges, columns. Lengths in pm."""
