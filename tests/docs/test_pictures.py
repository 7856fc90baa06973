"""`docs/pictures.py` still makes the pictures that are shown."""

import importlib.util

import numpy as np
import pytest
from pages import DOCS
from PIL import Image

spec = importlib.util.spec_from_file_location("pictures", DOCS / "pictures.py")
pictures = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pictures)


@pytest.mark.parametrize("name", ["canvases", "code", "layout", "tags", "times"])
def test_a_picture_is_that_of_the_site(name):
    """Fonts and the versions of Pillow differ: so must a hundredth of the pixels, at most."""
    made, shown = getattr(pictures, name)(), Image.open(DOCS / "images" / f"{name}.png").convert("RGB")
    assert made.size == shown.size
    differs = (np.abs(np.asarray(made, int) - np.asarray(shown, int)) > 32).any(axis=-1)
    assert differs.mean() < 0.01
