"""Depth maps from columns: projection, rings, loss weights. Lengths in pm."""
