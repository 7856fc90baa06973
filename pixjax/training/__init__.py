"""The training run: `train.py` reads top to bottom, and its parts lie beside it."""
