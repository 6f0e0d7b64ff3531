"""Architectures, their weight files, and the form in which they predict fastest."""
