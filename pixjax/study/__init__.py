"""Studies: arms, seeds, paired statistics."""
