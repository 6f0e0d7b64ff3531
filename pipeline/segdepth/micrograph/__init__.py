"""From a micrograph on disk to depth maps and columns on its own pixels. Knows nothing of simulation or training."""
