"""How much noise a code survives: theory, simulation and the table in the documentation say the same."""

import json

import numpy as np
import pytest

from pixjax.cli import main
from pixjax.codec import CanvasCodec, parse_code, to_float
from pixjax.codec.bench import VOCABULARIES, catalogue, markdown_table
from pixjax.codec.noise import (
    ErrorRate,
    NoisyTokens,
    measure_threshold,
    shannon_sigma,
    soft_and_hard_errors,
    zipf_log_prior,
)
from pixjax.codec.radix import RadixCode

# σ at 1 % symbol errors, as known for the codes that the design weighs against one another.
KNOWN = [
    (50_257, "base256", 0.0014),
    (50_257, "radix:37:1", 0.0095),
    (256, "radix:7:1", 0.060),
    (27, "radix:3:1", 0.178),
    (65_536, "radix:2:6", 0.31),
]


@pytest.mark.parametrize(("symbols", "name", "sigma"), KNOWN)
def test_measured_thresholds_are_those_that_are_known(symbols, name, sigma):
    code = parse_code(name, symbols)
    analytic = ErrorRate(code).sigma_at(0.01)
    measured = measure_threshold(code, 0.01, analytic, samples=60_000, seed=0)
    assert measured.sigma == pytest.approx(sigma, rel=0.05)
    assert measured.sigma == pytest.approx(analytic, rel=0.02)
    assert measured.low < measured.sigma < measured.high


@pytest.mark.parametrize("name", RadixCode.examples)  # other codes are only measured
def test_the_analytic_error_rate_is_that_of_decoding(name):
    code = parse_code(name, 258)
    rate = ErrorRate(code)
    sigma = rate.sigma_at(0.03)
    assert rate(sigma) == pytest.approx(0.03, rel=1e-3)
    tokens = NoisyTokens.draw(code, 40_000, seed=1)
    ids, _ = code.decode(tokens.at(sigma).reshape(-1, code.pixels, 3))
    errors = np.mean(ids != tokens.ids)
    assert tokens.errors(sigma) == (ids != tokens.ids).sum()
    assert errors == pytest.approx(0.03, abs=4 * np.sqrt(0.03 / 40_000))


@pytest.mark.parametrize(
    ("tokenizer", "code"), [("chars27", "radix:3:1"), ("bytes", "radix:auto:1"), ("bytes", "radix:2:6")]
)
def test_margins_rank_errors(tokenizer, code):
    codec = CanvasCodec(tokenizer, code, canvas_size=64)
    sigma = ErrorRate(codec.color_code).sigma_at(0.01)
    random = np.random.default_rng(0)
    ids = random.integers(0, codec.vocab_size, (8, codec.capacity))
    x = to_float(codec.encode_ids(ids)) + sigma * random.normal(size=(8, 64, 64, 3))
    read, margin = codec.decode_ids(x.astype(np.float32))
    wrong = read != ids
    assert wrong[margin <= np.quantile(margin, 0.1)].sum() > 0.9 * wrong.sum()


def test_no_code_beats_shannon_and_27_letters_are_near_it():
    for symbols in VOCABULARIES[:3]:
        for entry in catalogue(symbols):
            gap = 20 * np.log10(shannon_sigma(entry.code) / ErrorRate(entry.code).sigma_at(0.01))
            assert gap > 3
    assert 20 * np.log10(shannon_sigma(parse_code("radix:3:1", 27)) / 0.17818) == pytest.approx(4.19, abs=0.01)


@pytest.mark.parametrize("name", ["radix:auto:1", "radix:auto:2", "radix:2:3"])
def test_a_prior_helps_and_the_search_finds_what_soft_decoding_finds(name):
    code = parse_code(name, 256)
    sigma = ErrorRate(code).sigma_at(0.02)
    prior = zipf_log_prior(256)
    soft, hard = soft_and_hard_errors(code, sigma, prior, 6_000, seed=0)
    assert soft < hard

    random = np.random.default_rng(0)
    ids = random.choice(256, 6_000, p=np.exp(prior))
    noise = random.standard_normal((6_000, code.num_digits), dtype=np.float32)
    x = NoisyTokens(code, ids, noise).at(sigma).reshape(-1, code.pixels, 3)
    exact = code.decode_soft(x, sigma, prior).argmax(-1)
    assert soft == pytest.approx(np.mean(exact != ids), abs=1e-3)


def test_the_catalogue_holds_the_vocabulary_with_the_fewest_levels():
    for symbols in VOCABULARIES:
        entries = catalogue(symbols)
        assert entries[0].name == "base256"
        assert entries[1].code.pixels == 1
        assert entries[-1].code.levels == 2
        for entry in entries[1:]:
            levels, digits = entry.code.levels, entry.code.num_digits
            assert levels**digits >= symbols
            assert levels == 2 or (levels - 1) ** digits < symbols
            if symbols <= 8_000:
                flat = np.unique(entry.code.colors.reshape(symbols, -1)[:500], axis=0)
                apart = np.linalg.norm(flat[:, None] - flat, axis=-1)
                assert apart[apart > 0].min() == pytest.approx(entry.min_distance, rel=1e-5)


def test_the_documentation_shows_the_table(request):
    page = request.config.rootpath / "docs" / "codes.md"
    assert markdown_table() in page.read_text()


def test_bench_writes_a_table_a_json_and_a_plot(tmp_path, capsys):
    arguments = ["codec", "bench", "--vocab", "27", "--samples", "10000", "--out", str(tmp_path)]
    assert main(arguments) == 0
    assert "radix:3:1" in capsys.readouterr().out
    report = json.loads((tmp_path / "bench.json").read_text())
    by_code = {entry["code"]: entry for entry in report["codes"]}
    assert by_code["radix:3:1"]["sigma"]["0.01"]["sigma"] == pytest.approx(0.178, rel=0.05)
    assert by_code["radix:3:1"]["tokens_per_canvas"] == 4095
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")
    assert main([*arguments[:3], "1", "--out", str(tmp_path)]) == 2
