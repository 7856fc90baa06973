"""The training run: `train.py` reads top to bottom, its parts lie beside it."""
