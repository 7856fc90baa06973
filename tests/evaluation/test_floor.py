"""The floor of image metrics is what real images score in the place of samples: as many, against the same others."""

import types

import numpy as np
import pytest
from test_image_metrics import smooth_images

from pixjax.codec import IMAGE
from pixjax.evaluation.image_metrics import beside_floor
from pixjax.evaluation.sample_quality import image_quality


def test_real_images_as_samples_score_like_the_floor():
    made, real = smooth_images(4, 12, 16), smooth_images(3, 96, 16)
    material = types.SimpleNamespace(test={IMAGE: types.SimpleNamespace(canvases=real)}, training={})
    quality = image_quality({"image": types.SimpleNamespace(canvases=made)}, material)
    score, floor, spread = quality["swd/mean"], quality["held_out"]["swd/mean"], quality["held_out_spread"]["swd/mean"]
    assert abs(score - floor) < 3 * spread
    assert spread < floor / 2
    assert quality["counts"] == {"samples": 12, "reference": 84, "draws": 5}


@pytest.mark.parametrize(("made", "count"), [(4, 4), (30, 10)])
def test_samples_and_stand_ins_are_as_many_and_no_image_is_compared_with_itself(made, count):
    sets = []

    def distances(ours: np.ndarray, theirs: np.ndarray) -> dict[str, float]:
        sets.append((set(ours), set(theirs)))
        return {"count": len(ours)}

    real = np.arange(100, 120)
    found = beside_floor(distances, np.arange(made), real, draws=3)
    assert found["count"] == found["held_out"]["count"] == found["counts"]["samples"] == count
    for (ours, reference), (stand_ins, same) in zip(sets[::2], sets[1::2], strict=True):
        assert reference == same == set(real) - stand_ins
        assert len(ours) == len(stand_ins) == count
        assert ours <= set(range(made))
    assert len({frozenset(stand_ins) for stand_ins, _ in sets[1::2]}) == 3
