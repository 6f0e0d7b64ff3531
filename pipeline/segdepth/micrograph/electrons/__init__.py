"""From a camera's values to electrons: masks, bad pixels, gain and offset, vacuum, light. One frame at a time."""
