"""How good a network is: metrics, calibration, per-column tables, and the job that writes them. Draws nothing."""
