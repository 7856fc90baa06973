import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixjax.data.mixture import Mixture

small_weights = st.lists(st.integers(1, 12), min_size=1, max_size=5).map(tuple)


@given(weights=small_weights, start=st.integers(0, 500))
def test_every_block_has_each_source_exactly_as_often_as_its_weight(weights, start):
    mixture = Mixture.from_weights(weights)
    block = len(mixture.schedule)
    sources, _ = mixture.locate(np.arange(start, start + block))
    assert (np.bincount(sources) / block == np.array(weights) / sum(weights)).all()


@given(weights=small_weights, start=st.integers(0, 500), length=st.integers(1, 200))
def test_no_run_of_positions_strays_far_from_the_shares(weights, start, length):
    sources, _ = Mixture.from_weights(weights).locate(np.arange(start, start + length))
    strayed = np.bincount(sources, minlength=len(weights)) - length * np.array(weights) / sum(weights)
    assert np.abs(strayed).max() <= 2


@given(weights=small_weights)
def test_each_source_is_drawn_from_in_order_without_gaps(weights):
    sources, draws = Mixture.from_weights(weights).locate(np.arange(300))
    for source in range(len(weights)):
        assert (draws[sources == source] == np.arange((sources == source).sum())).all()


@pytest.mark.parametrize(("ratio", "block"), [(0.5, 2), (0.3, 10), (0.125, 8), (1 / 3, 3), (0.62, 50)])
def test_a_ratio_is_held_in_the_smallest_block_there_is(ratio, block):
    mixture = Mixture.from_weights((ratio, 1 - ratio))
    assert len(mixture.schedule) == block
    assert mixture.counts[0] == round(ratio * block)


def test_an_irrational_share_is_rounded_to_one_in_ten_thousand():
    mixture = Mixture.from_weights((2**0.5, 1))
    assert mixture.counts.sum() == 10_000
    assert mixture.counts[0] / 10_000 == pytest.approx(2**0.5 / (1 + 2**0.5), abs=1e-4)


def test_a_tiny_share_is_not_rounded_away():
    assert Mixture.from_weights((1, 1e-7)).counts[1] == 1
