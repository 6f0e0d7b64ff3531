"""The training of networks: waves and labels in, weights out."""
