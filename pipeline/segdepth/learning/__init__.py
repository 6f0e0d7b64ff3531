"""The network and its training: waves and labels in, weights out. Knows nothing of evaluation or of micrographs."""
