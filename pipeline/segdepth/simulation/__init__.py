"""From atoms to intensity: exit waves, the lens, the detector. Knows nothing of labels or learning. Lengths in pm."""
