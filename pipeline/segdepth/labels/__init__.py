"""Depth maps from columns: projection, rings, loss weights; and columns from depth classes. Lengths in pm."""
