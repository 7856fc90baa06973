"""Checkpoints: saving, verifying and locking them, loading one for evaluation, publishing it."""
