"""Color codes: their colours, their digit orders, and exact nearest-colour decoding against brute force."""

import numpy as np
import pytest
from codecs_under_test import CODES as REGISTERED
from hypothesis import given, settings
from hypothesis import strategies as st

from pixjax.codec import ColorCode, parse_code
from pixjax.codec.bulk import BulkPainter
from pixjax.codec.radix import RadixCode
from pixjax.errors import InputError

RADIX_CODES = st.builds(
    RadixCode,
    vocab_size=st.integers(2, 60),
    levels=st.integers(4, 256),
    pixels=st.integers(1, 2),
    order=st.sampled_from(["counting", "gray", "permuted"]),
) | st.builds(
    RadixCode,
    vocab_size=st.integers(2, 512),
    levels=st.sampled_from([2, 3]),
    pixels=st.just(3),
    order=st.sampled_from(["counting", "gray", "permuted"]),
)


def brute_force(code: ColorCode, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distances to every colour in float64, and the order of the colours by distance."""
    colors = code.palette.reshape(code.vocab_size, -1).astype(np.float64) / 127.5 - 1
    distance = np.linalg.norm(x.reshape(len(x), 1, -1).astype(np.float64) - colors, axis=-1)
    return distance, np.argsort(distance, axis=1, kind="stable")


def test_base256_paints_the_least_significant_digit_red():
    code = parse_code("base256", 50_257)
    assert code.encode(np.array([0x00_C4_50 - 1, 255, 256])).tolist() == [[[79, 196, 0]], [[255, 0, 0]], [[0, 1, 0]]]


def test_three_levels_and_one_pixel_are_exactly_the_27_letters():
    code = parse_code("radix:auto:1", 27)
    assert (code.levels, code.pixels) == (3, 1)
    assert len(np.unique(code.palette.reshape(-1, 3), axis=0)) == 27
    assert set(code.palette.reshape(-1)) == {0, 128, 255}


def test_two_levels_are_the_bits_of_the_id():
    code = parse_code("radix:2:2", 64)
    bits = (np.arange(64)[:, None] >> np.arange(6)) & 1
    assert (code.palette.reshape(64, 6) == 255 * bits).all()


@pytest.mark.parametrize(("symbols", "pixels", "levels"), [(258, 1, 7), (50_257, 1, 37), (50_257, 6, 2), (27, 2, 2)])
def test_auto_is_the_smallest_number_of_levels(symbols, pixels, levels):
    assert parse_code(f"radix:auto:{pixels}", symbols).levels == levels
    if levels > 2:
        with pytest.raises(InputError, match=f"at least {levels} levels"):
            parse_code(f"radix:{levels - 1}:{pixels}", symbols)


def has_a_colour_for_every_id(code: ColorCode) -> None:
    ids = np.arange(code.vocab_size, dtype=np.int32)
    colors = code.encode(ids)
    assert len(np.unique(colors.reshape(len(ids), -1), axis=0)) == len(ids)
    decoded, margin = code.decode(colors)
    assert (decoded == ids).all()
    assert (margin == 1).all()


@settings(max_examples=40, deadline=None)
@given(levels=st.integers(2, 9), share=st.floats(0.1, 1))
def test_neighbours_in_gray_order_differ_by_one_step(levels, share):
    code = RadixCode(vocab_size=max(2, int(levels**3 * share)), levels=levels, pixels=1, order="gray")
    steps = np.abs(np.diff(code.digits.astype(int), axis=0))
    assert (steps.sum(axis=1) == 1).all()


def test_the_permuted_order_is_part_of_the_format():
    code = RadixCode(vocab_size=8, levels=2, pixels=1, order="permuted")
    assert code.permutation.tolist() == [1, 0, 2, 7, 3, 4, 6, 5]


def decodes_to_the_nearest_colour(code: ColorCode, seed: int, sigma: float) -> None:
    random = np.random.default_rng(seed)
    colors = code.colors[random.integers(0, code.vocab_size, 60)]
    x = (colors + sigma * random.normal(size=colors.shape)).astype(np.float32)
    ids, margin = code.decode(x)
    distance, ranking = brute_force(code, x)
    nearest, wrong = (np.take_along_axis(distance, ranking[:, [k]], axis=1)[:, 0] for k in (0, 1))
    chosen = np.take_along_axis(distance, ids[:, None], axis=1)[:, 0]
    np.testing.assert_allclose(chosen, nearest, atol=2e-6)
    flat = code.colors.reshape(code.vocab_size, -1)
    between = np.linalg.norm(flat[ranking[:, 0]] - flat[ranking[:, 1]], axis=1)
    tied = np.isclose(
        wrong, np.take_along_axis(distance, ranking[:, [min(2, code.vocab_size - 1)]], axis=1)[:, 0], atol=1e-5
    )
    clear = ~tied & (wrong - nearest > 1e-4)
    np.testing.assert_allclose(margin[clear], ((wrong - nearest) / between)[clear], atol=2e-3)


def decodes_any_uint8(code: ColorCode, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (60, code.pixels, 3), dtype=np.uint8)
    ids, _ = code.decode(pixels)
    distance, _ = brute_force(code, pixels / 127.5 - 1)
    assert np.allclose(np.take_along_axis(distance, ids[:, None], axis=1)[:, 0], distance.min(axis=1), atol=1e-9)


def decodes_all_at_once(code: ColorCode, seed: int) -> None:
    """Soft decoding agrees with the distances, and what is absurd decodes to some id."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(20, code.pixels, 3)).astype(np.float32)
    distance, _ = brute_force(code, x)
    expected = -0.5 * (distance / 0.7) ** 2
    expected -= np.logaddexp.reduce(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(code.decode_soft(x, 0.7), expected, atol=1e-3)
    absurd = np.full((3, code.pixels, 3), [[[np.nan]], [[np.inf]], [[-np.inf]]], np.float32)
    ids, _ = code.decode(absurd)
    assert ((ids >= 0) & (ids < code.vocab_size)).all()
    assert code.decode(absurd[:0])[0].shape == (0,)


@settings(max_examples=80, deadline=None)
@given(code=RADIX_CODES)
def test_every_id_has_its_own_colour_and_comes_back(code):
    has_a_colour_for_every_id(code)


@settings(max_examples=120, deadline=None)
@given(code=RADIX_CODES, seed=st.integers(0, 2**32), sigma=st.sampled_from([0.05, 0.3, 1.0, 3.0]))
def test_decoding_is_exactly_the_nearest_legal_colour(code, seed, sigma):
    decodes_to_the_nearest_colour(code, seed, sigma)


@settings(max_examples=60, deadline=None)
@given(code=RADIX_CODES, seed=st.integers(0, 2**32))
def test_any_uint8_pixels_decode_to_a_nearest_colour(code, seed):
    decodes_any_uint8(code, seed)


@pytest.mark.parametrize("text", REGISTERED)
@settings(max_examples=5, deadline=None)
@given(vocab_size=st.integers(2, 64), seed=st.integers(0, 2**32), sigma=st.sampled_from([0.05, 0.3, 1.0, 3.0]))
def test_every_code_of_the_registry_keeps_what_a_code_promises(text, vocab_size, seed, sigma):
    code = parse_code(text, vocab_size)
    has_a_colour_for_every_id(code)
    decodes_to_the_nearest_colour(code, seed, sigma)
    decodes_any_uint8(code, seed)
    decodes_all_at_once(code, seed)


class ListedColors(ColorCode):
    """Of any colours: what a code is that says nothing but them."""

    def __init__(self, palette: np.ndarray):
        self.vocab_size, self.pixels, _ = palette.shape
        self._palette = palette

    @classmethod
    def parse(cls, text: str, vocab_size: int) -> None: ...

    @property
    def palette(self) -> np.ndarray:
        return self._palette


@settings(max_examples=20, deadline=None)
@given(code=RADIX_CODES, seed=st.integers(0, 2**32), sigma=st.sampled_from([0.05, 0.3, 1.0, 3.0]))
def test_a_code_that_only_lists_its_colours_keeps_what_a_code_promises(code, seed, sigma):
    listed = ListedColors(code.palette[np.random.default_rng(seed).permutation(code.vocab_size)])
    has_a_colour_for_every_id(listed)
    decodes_to_the_nearest_colour(listed, seed, sigma)
    decodes_any_uint8(listed, seed)
    decodes_all_at_once(listed, seed)
    side = 4 * code.pixels
    cells = np.arange(side * side).reshape(-1, code.pixels)
    painter = BulkPainter(listed, cells, side, (1, side))
    ids = np.random.default_rng(seed).integers(0, code.vocab_size, (5, len(cells))).astype(np.int32)
    assert (painter.nearest_ids(painter.paint(ids)) == ids).all()


def test_the_margin_falls_from_one_to_nothing_half_way():
    code = parse_code("radix:3:1", 27)
    steps = np.linspace(0, 0.5, 6, dtype=np.float32)
    x = np.tile(np.float32(-1), (6, 1, 3))
    x[:, 0, 0] += steps * (code.level_values[1] / 127.5)
    _, margin = code.decode(x)
    np.testing.assert_allclose(margin, 1 - 2 * steps, atol=1e-3)


@pytest.mark.parametrize(
    ("text", "symbols", "message"),
    [
        ("radix", 27, "is unknown"),
        ("radix:three:1", 27, "is unknown"),
        ("radix:3:1:gray:4", 27, "is unknown"),
        ("radix:3:1:grey", 27, "digit order 'grey'"),
        ("base64", 27, "is unknown"),
        ("radix:3:1", 28, "a vocabulary of 28 does not fit into 3 levels"),
        ("radix:3:0", 27, "choose 1 to 64"),
        ("radix:257:1", 27, "choose 2 to 256"),
        ("radix:1:1", 27, "choose 2 to 256"),
        ("radix:auto:1", 2**24 + 1, "choose more"),
    ],
)
def test_a_code_that_cannot_be_is_refused_in_one_line(text, symbols, message):
    with pytest.raises(InputError, match=message) as error:
        parse_code(text, symbols)
    assert "\n" not in str(error.value)
