"""From a micrograph on disk to depth maps and columns on its own pixels."""
