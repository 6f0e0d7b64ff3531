"""How good a network is: metrics, calibration, tables of columns, what an ideal observer would reach."""
