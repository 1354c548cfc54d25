"""Predictions, metrics, significance tests, and the recorded results."""
