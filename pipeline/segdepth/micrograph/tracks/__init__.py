"""Columns followed through a film: what the network says of each site in each frame, and when its atoms change."""

from segdepth.micrograph.tracks.events import column_events
from segdepth.micrograph.tracks.follow import follow_columns

__all__ = ["column_events", "follow_columns"]
