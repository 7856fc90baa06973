"""What a trained workdir is good for: restoring, sampling, pictures."""
