"""Evaluation of networks: metrics, calibration, tables of columns, ideal observers."""
