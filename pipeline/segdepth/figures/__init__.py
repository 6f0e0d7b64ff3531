"""One module per figure and table. Draws what ``evaluation``, training or prediction stored; computes nothing."""
