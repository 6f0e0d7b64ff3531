"""From atoms to intensity: exit waves, the lens, the detector. Lengths in pm."""
