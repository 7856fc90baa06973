"""What TPUs' own compiler makes of a training step at full size: memory, products, messages. It needs no TPU."""

import re
from collections import Counter, defaultdict

import jax
import pytest

from pixjax.chips import parse_chips
from pixjax.config_file import load_config
from pixjax.planning.footprint import bytes_per_device, compiled_step, footprint_of
from pixjax.planning.target import find_target, run_on_fake_cpus

# Where a product may have operands in float32: at the precision that it asks for, or in Newton-Schulz as it comes.
ISLANDS = ("time_in", "time_out", "out_modulation", "out", "out_ids", "cells_in", "cells_out", "bcv,vpd->bcpd")
NEWTON_SCHULZ = "jit(train_step)/vmap()/closed_call/dot_general"
# The gradient of scores is float32 until it is multiplied: an operand beside one in bfloat16, and one pass.
SCORES = "attention/vmap(BTNH,BSNH->BNTS)/dot_general"

# A config, its changes, the chips, and canvases on each.
STEPS = {
    "B/4": ("mixed64_marker", {"model.variant": "B"}, "v5e-16", 16),
    "text8_best": ("text8_best", {}, "v5p-64", 16),
}


def compile_for_tpus(name: str, changes: dict, chips: str, canvases: int):
    chip, count = parse_chips(chips)
    target = find_target(chip, count)
    assert target.is_its_own, target.compiler
    config = load_config(name, changes | {"model.dtype": "bfloat16", "model.attention": "xla"})
    step = compiled_step(config, target, (1, count, 1), canvases)
    whole = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(step.state))
    blocks = step.state.params["blocks"], step.state.params.get("blocks_before", {})
    matrices = [x for x in jax.tree.leaves(blocks) if x.ndim == 3]
    layers = sum(2 * x.size for x in matrices)
    assert all(x.size == count * bytes_per_device(x) // 4 for x in matrices)
    return footprint_of(step, target), step.compiled.as_text(), whole, layers


@pytest.fixture(scope="module", params=STEPS)
def compiled(request):
    """Footprint, compiled text, bytes of the whole state, those of all layers' matrices in bfloat16, chip, chips."""
    pytest.importorskip("libtpu", reason="libtpu is not installed: pip install 'pixjax[tpu]', which needs no TPU")
    name, changes, chips, canvases = STEPS[request.param]
    return *run_on_fake_cpus(1, compile_for_tpus, name, changes, chips, canvases), *parse_chips(chips)


def test_it_fits_and_no_device_holds_what_could_be_split(compiled):
    footprint, _, whole, _, chip, count = compiled
    assert footprint.total < 0.6 * chip.memory
    on_all = (footprint.state - whole / count) * count / (count - 1)
    assert on_all < 0.0025 * whole  # biases, norms and tables


def test_products_in_float32_are_those_that_are_meant_to_be(compiled):
    found = Counter(float_products(compiled[1]))
    beside_bfloat16 = {operation for operation, operands, _ in found if operands.count("f32") == 1}
    assert all(NEWTON_SCHULZ in name or SCORES in name or "cells_in" in name for name in beside_bfloat16)
    exact = {(operation, highest) for operation, operands, highest in found if operands == ("f32", "f32")}
    assert {True, False} == {highest for _, highest in exact}
    for operation, highest in exact:
        layer = operation.removesuffix("/dot_general").rsplit("/")[-1]
        assert operation == NEWTON_SCHULZ if not highest else layer in ISLANDS, operation


def float_products(text: str):
    """(operation, types of both operands, whether it asks for float32) of each that has one in float32."""
    types: dict[str, str] = {}
    for line in text.splitlines():
        if defined := re.match(r"\s+(?:ROOT )?%([\w.\-]+) = (\w+)\[", line):
            types[defined[1]] = defined[2]
        elif not line.startswith(" "):
            types = {}
        if product := re.search(r" (?:convolution|dot)\(%([\w.\-]+), %([\w.\-]+)\)", line):
            operands = types[product[1]], types[product[2]]
            operation = re.search(r'op_name="([^"]*)"', line)
            if "f32" in operands:
                yield operation[1] if operation else "", operands, "operand_precision={highest,highest}" in line


def test_messages_are_those_of_layers_that_are_split(compiled):
    """Forwards each matrix of a layer comes once to all devices, for each of the two streams of canvases; backwards its
    gradient goes, at most as a sum that all have, which is twice as much, and some matrices come again.
    """
    footprint, _, _, layers, _, count = compiled
    sent: dict[tuple[bool, bool], float] = defaultdict(float)
    for message in footprint.messages:
        sent["blocks" in message.operation, "transpose(" in message.operation] += message.sent()
    a_pass = 2 * layers * (count - 1) / count
    assert sent[True, False] == pytest.approx(a_pass, rel=0.05)
    assert a_pass < sent[True, True] < 3 * a_pass
    total = sum(sent.values())
    newton_schulz = sum(message.sent() for message in footprint.messages if message.operation == NEWTON_SCHULZ)
    assert sent[False, False] + sent[False, True] < newton_schulz + 0.06 * total
    exchanged = sum(message.sent() for message in footprint.messages if message.kind == "all-to-all")
    assert exchanged < 1e-3 * total  # of the embedding of t
