"""Coordinate networks: train fields from coordinates to signals and measure which frequencies they learn."""

__version__ = "0.1.0"
