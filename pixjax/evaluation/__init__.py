"""Metrics and likelihood of a checkpoint."""
