"""The lens, the tilt and the thickness of a micrograph, fitted to its average unit cells."""
