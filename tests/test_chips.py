"""Names of chips, and of devices."""

import pytest

from pixjax.chips import CHIPS, chip_of, parse_chips, peak_flops
from pixjax.errors import InputError


@pytest.mark.parametrize(
    ("text", "name", "count"),
    [
        ("v5p-64", "v5p", 32),  # Cloud TPU counts the TensorCores of v4 and v5p, two a chip
        ("v4-8", "v4", 4),
        ("v5e-16", "v5e", 16),  # and the chips of v5e and v6e
        ("v5litepod-16", "v5e", 16),
        ("v6e-256", "v6e", 256),
        ("h100x8", "h100", 8),
        ("h100", "h100", 1),
        ("h100-pciex4", "h100-pcie", 4),
        ("a100-40gx2", "a100-40g", 2),
    ],
)
def test_a_slice_is_a_kind_of_chip_and_a_number_of_chips(text, name, count):
    chip, found = parse_chips(text)
    assert (chip.name, found) == (name, count)


def test_cpu_is_this_machine():
    assert parse_chips("cpu") == (None, 1)


@pytest.mark.parametrize("text", ["v9-8", "h100-8", "v5p", "v5e-x", "", "h100x", "v5p-64x"])
def test_unknown_chips_are_refused_with_those_that_are_known(text):
    with pytest.raises(InputError, match=r"the chips are v4, v5e, v5p, v6e, .*a100"):
        parse_chips(text)


@pytest.mark.parametrize(("text", "unit"), [("v5p-7", "TensorCores, two a chip"), ("v5e-0", "chips"), ("h100x0", "")])
def test_a_part_of_a_chip_is_refused(text, unit):
    with pytest.raises(InputError, match=f"no whole number of chips.*{unit}"):
        parse_chips(text)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA H100 PCIe", "h100-pcie"),
        ("NVIDIA A100-SXM4-40GB", "a100-40g"),
        ("NVIDIA A100-SXM4-80GB", "a100"),
        ("NVIDIA L4", "l4"),
        ("TPU v4", "v4"),
        ("TPU v5 lite", "v5e"),
        ("TPU v5", "v5p"),
        ("TPU v5p", "v5p"),
        ("TPU v6 lite", "v6e"),
    ],
)
def test_a_chip_is_known_by_the_kind_that_jax_tells(kind, name):
    assert chip_of(kind).name == name


@pytest.mark.parametrize("kind", ["cpu", "NVIDIA L40", "NVIDIA GB200", "TPU v7x"])
def test_a_kind_that_is_not_in_the_table_is_not_taken_for_another(kind):
    assert chip_of(kind) is None


def test_peaks_are_those_of_the_data_sheets():
    assert peak_flops("NVIDIA H100 80GB HBM3") == 989e12
    assert peak_flops("TPU v5 lite") == 197e12
    assert peak_flops("cpu") is None


def test_the_table_is_in_the_units_that_it_says():
    for chip in CHIPS:
        assert 1e14 < chip.flops < 1e16
        assert 1e11 < chip.bandwidth < 1e13
        assert 15 * 2**30 < chip.memory < 300 * 2**30
        assert 50 < chip.flops / chip.bandwidth < 700  # FLOPs a byte, of any chip of these years
