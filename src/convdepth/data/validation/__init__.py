"""Data rules, run by Great Expectations."""
