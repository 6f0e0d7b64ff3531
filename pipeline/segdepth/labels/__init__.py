"""Depth maps from columns: projection, rings, loss weights. Knows nothing of images or learning. Lengths in pm."""
