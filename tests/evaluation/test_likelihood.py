"""Bits of a model whose answer is known: one that predicts mid-grey, as every model does before its first update."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from untrained import untrained

from pixjax.codec import IMAGE, TEXT
from pixjax.diffusion.bound import even
from pixjax.errors import InputError
from pixjax.evaluation.likelihood import evaluate_likelihood
from pixjax.evaluation.model_bound import LOG_SNR_MIN, measure_bound, unigram_log_prior

ENDPOINTS = (-6.0, 2.0, 6.0)


@pytest.fixture(scope="module")
def denoiser(tiny_config):
    return untrained(tiny_config())


def text_canvases(codec, num, seed, length):
    """Letters that are not equally frequent, the last canvas PAD from `length` on."""
    ids = np.random.default_rng(seed).choice(27, (num, codec.capacity), p=np.arange(1, 28) / 378)
    lengths = np.full(num, codec.capacity)
    lengths[-1] = length
    ids = np.where(np.arange(codec.capacity) < lengths[:, None], ids, codec.pad_id)
    return codec.encode_ids(ids), codec.loss_mask(ids, lengths), ids, lengths


@pytest.fixture(scope="module")
def text_result(denoiser):
    *test, _, _ = text_canvases(denoiser.codec, 10, 0, 100)
    *validation, _, _ = text_canvases(denoiser.codec, 6, 1, 200)
    return evaluate_likelihood(denoiser, test, TEXT, validation=validation, num_times=16, endpoints=ENDPOINTS)


def test_a_model_that_knows_nothing_has_the_cross_entropy_of_unigrams(denoiser, text_result):
    """The mix is the matched filter, with what it counted on the validation canvases."""
    codec = denoiser.codec
    _, _, ids, lengths = text_canvases(codec, 10, 0, 100)
    canvases, mask, seen, _ = text_canvases(codec, 6, 1, 200)
    log_prior = unigram_log_prior(codec, canvases, mask & (np.arange(256).reshape(16, 16) > 0))
    counted = np.arange(codec.capacity) < lengths[:, None]
    counts = np.bincount(np.concatenate([*seen[:-1], seen[-1, :200]]), minlength=27) + 0.5
    np.testing.assert_allclose(np.exp(log_prior), counts / counts.sum(), rtol=1e-5)
    expected = -log_prior[ids[counted]].sum() / np.log(2) / counted.sum()
    assert abs(text_result["bits_per_token"] - expected) < 0.015 * expected
    assert text_result["headline"] == "mixed"
    assert text_result["bits_per_token"] == text_result["mixed"]["bits_per_token"]
    assert text_result["network"]["bits_per_token"] > text_result["bits_per_token"]
    assert np.max(np.array(text_result["mix"]["network"])[np.array(text_result["mix"]["log_snr"]) > 0]) < 0.1


def test_units_are_what_is_counted(denoiser, text_result):
    tokens = 9 * 255 + 100  # 16 x 16 pixels, one of them the marker
    assert [text_result[name] for name in ("canvases", "tokens", "characters", "dims")] == [
        10, tokens, tokens, 3 * tokens,
    ]  # fmt: skip
    bits = text_result["bits_per_canvas"] * 10
    for unit, count in {"token": tokens, "char": tokens, "dim": 3 * tokens}.items():
        np.testing.assert_allclose(text_result[f"bits_per_{unit}"], bits / count)
    parts = sum(text_result["mixed"][name] for name in ("kl", "diffusion", "reconstruction"))
    np.testing.assert_allclose(parts, text_result["bits_per_canvas"])


def test_contributions_are_the_integrand(denoiser, text_result):
    """Of mid-grey it is ½ e^λ |x|² a token, and the matched filter's is smaller where there is something to see."""
    curve = text_result["contributions"]
    at = np.array(curve["log_snr"])
    drawn = np.array([value is not None for value in curve["network"]])
    network = np.array(curve["network"], float)[drawn]
    _, _, ids, lengths = text_canvases(denoiser.codec, 10, 0, 100)
    counted = np.arange(denoiser.codec.capacity) < lengths[:, None]
    norm = np.square(denoiser.codec.colors[ids[counted]]).sum() / counted.sum()
    np.testing.assert_allclose(network, (0.5 * np.exp(at) * norm / np.log(2))[drawn], rtol=0.25)
    filtered = np.array(curve["matched_filter"], float)[drawn]
    high = at[drawn] > 0
    assert (filtered[high] < network[high]).all()


def test_characters_of_bytes_are_fewer_than_tokens(tiny_config):
    denoiser = untrained(tiny_config(codec={"tokenizer": "bytes", "code": "radix:7:1", "normalize": False}))
    codec = denoiser.codec
    ids = codec.pack(np.concatenate([codec.tokenize("é" * 180), [codec.eos_id], codec.tokenize("ab")]))
    test = codec.encode_ids(ids), codec.loss_mask(ids)
    result = evaluate_likelihood(denoiser, test, TEXT, validation=test, num_times=1, endpoints=(0.0,))
    assert len(ids) == 2
    assert (result["tokens"], result["characters"]) == (363, 182)  # a letter of two bytes is parted by the canvas
    np.testing.assert_allclose(result["bits_per_char"] * 182, result["bits_per_token"] * 363)


def image_canvases(num, seed):
    canvases = np.random.default_rng(seed).integers(0, 256, (num, 16, 16, 3), dtype=np.uint8)
    return canvases, np.ones((num, 16, 16), bool)


def test_images_that_are_noise_take_eight_bits_a_dimension(denoiser):
    result = evaluate_likelihood(
        denoiser, image_canvases(5, 0), IMAGE, validation=image_canvases(3, 1), num_times=16, endpoints=ENDPOINTS
    )
    assert result["dims"] == 5 * 3 * 255  # the marker is given
    assert result["network"]["log_snr_max"] == -6
    assert abs(result["network"]["bits_per_dim"] - 8) < 0.01
    assert abs(result["bits_per_dim"] - 8) < 0.1
    assert "bits_per_token" not in result
    assert result["unit"] == "bits_per_dim"


def test_the_endpoint_is_chosen_on_validation_canvases(denoiser):
    """Mid-grey is all there is to say about grey canvases, and the best place to end is then the last."""
    grey = np.full((3, 16, 16, 3), 127, np.uint8), np.ones((3, 16, 16), bool)
    noise = image_canvases(3, 1)
    for validation, end in ((grey, 6.0), (noise, -6.0)):
        result = evaluate_likelihood(denoiser, noise, IMAGE, validation=validation, num_times=16, endpoints=ENDPOINTS)
        assert result["network"]["log_snr_max"] == end
        assert result["endpoints"]["network"][ENDPOINTS.index(end)] == min(result["endpoints"]["network"])


def test_test_canvases_are_looked_at_where_validation_canvases_found_the_integrand(denoiser, monkeypatch):
    """Of mid-grey and images of noise it grows with e^λ, up to the half of a nat that the noisy canvas costs."""
    looked = []

    def measure(*args, proposal, **options):
        looked.append(proposal)
        return measure_bound(*args, proposal=proposal, **options)

    monkeypatch.setattr("pixjax.evaluation.likelihood.measure_bound", measure)
    ends = (0.0, 8.0)
    evaluate_likelihood(
        denoiser, image_canvases(4, 0), IMAGE, validation=image_canvases(8, 1), num_times=64, endpoints=ends
    )
    on_validation, on_test = looked
    early = on_test.edges[1:] < -4
    assert np.ptp(on_validation.shares) == 0
    assert on_validation.shares[on_validation.edges[1:] < -4].sum() > 0.3
    assert on_test.shares[early].sum() < 0.1


def test_where_the_network_is_worse_than_the_noisy_canvas_an_image_has_less_of_it(denoiser):
    """Of mid-grey and images whose levels are uniform: the best line from one to the other is known."""
    data = image_canvases(8, 0)
    ends = (0.0, 8.0, 14.0)
    found = evaluate_likelihood(denoiser, data, IMAGE, validation=image_canvases(8, 1), num_times=16, endpoints=ends)
    assert (found["headline"], found["bits_per_dim"]) == ("mixed", found["mixed"]["bits_per_dim"])
    share = np.interp([-8.0, 8.0], found["mix"]["log_snr"], found["mix"]["network"])
    np.testing.assert_allclose(share, [1.0, 0.0], atol=0.02)
    alone, mixed = (np.array(found["endpoints"][name]) for name in ("network", "mixed"))
    assert (mixed <= alone + 1e-3).all()
    assert alone[-1] > 100
    assert abs(mixed[1] - 8) < 0.3  # a bound on the 8 bits that there are
    assert "noisy_canvas" in found["contributions"]


def test_the_standard_error_is_that_of_repeated_draws(denoiser):
    """Over canvases of different length: short ones and long ones of the same frequencies."""
    found, claimed = [], []
    for seed in range(30):
        canvases, _, ids, _ = text_canvases(denoiser.codec, 8, seed, 255)
        mask = denoiser.codec.loss_mask(ids, np.array([20, 255] * 4))
        data = canvases, mask
        result = evaluate_likelihood(
            denoiser, data, TEXT, validation=data, num_times=1, endpoints=(-6.0,), batch_size=8
        )
        found.append(result["bits_per_token"])
        claimed.append(result["bits_per_token_stderr"])
    assert 0.6 < np.std(found) / np.mean(claimed) < 1.6


def test_batches_and_a_last_one_that_is_not_full_change_nothing_but_the_noise(denoiser):
    data = image_canvases(5, 0)
    results = [
        evaluate_likelihood(denoiser, data, IMAGE, validation=data, num_times=2, endpoints=(-6.0,), batch_size=size)
        for size in (2, 8)
    ]
    assert results[0]["dims"] == results[1]["dims"]
    np.testing.assert_allclose(results[0]["bits_per_dim"], results[1]["bits_per_dim"], rtol=0.002)


def test_the_times_are_spread_over_the_canvases_that_fill_a_part_of_a_batch(denoiser):
    canvases, mask = image_canvases(3, 0)
    options = {"num_times": 2, "batch_size": 8, "seed": 0, "done": lambda n: None, "ends": {"network": (6.0,)}}
    options |= {"modality": IMAGE, "log_prior": None, "proposal": even(LOG_SNR_MIN, 6.0)}
    measured = measure_bound(denoiser, canvases, mask, **options)
    np.testing.assert_allclose(np.diff(np.sort(measured.draws.log_snr.reshape(-1))), 16 / 6, atol=1e-4)
    assert measured.reconstruction["network"].shape == (3, 1)


def test_what_cannot_be_measured_is_refused(denoiser):
    canvases, mask = image_canvases(3, 0)
    good = canvases, mask
    text_only = dataclasses.replace(denoiser, text_share=1.0)
    cases = [
        (denoiser, (canvases[:1], mask[:1]), {}, "at least 2"),
        (denoiser, (canvases[:, :8], mask), {}, "do not fit"),
        (denoiser, (canvases, np.zeros_like(mask)), {}, "count no pixel"),
        (denoiser, good, {"endpoints": (4.0, 2.0)}, "ascending"),
        (denoiser, good, {"endpoints": ()}, "ascending"),
        (denoiser, good, {"num_times": 0}, "give 1 or more"),
        (text_only, good, {}, "not what this model was trained on"),
    ]
    for model, data, options, message in cases:
        with pytest.raises(InputError, match=message):
            evaluate_likelihood(model, data, IMAGE, validation=good, **options)


def test_an_untrained_codebook_head_takes_the_bits_of_a_fair_guess(tiny_config, monkeypatch):
    """It is the matched filter with a uniform prior, whose bound is log2 of the vocabulary wherever the path ends. All
    ends are tried on some validation canvases, and one is measured on test canvases: each takes a pass of the head.
    """
    monkeypatch.setattr("pixjax.evaluation.likelihood.TRIED", 8)
    counted = []
    denoiser = untrained(
        tiny_config(
            model={"tagging": "none", "codebook_head": True}, codec={"marker": False}, data={"sources": ["demo:text"]}
        )
    )
    *test, _, _ = text_canvases(denoiser.codec, 16, 0, 100)
    result = evaluate_likelihood(
        denoiser, test, TEXT, validation=test, num_times=32, endpoints=(-4.0, 0.0, 4.0), batch_size=8,
        done=counted.append,
    )  # fmt: skip
    assert sum(counted) == (16 * 32 + 8 * 3) + 16 * (32 + 1)
    np.testing.assert_allclose(result["endpoints"]["network"], np.log2(27), rtol=0.02)
    assert result["bits_per_token"] == result["network"]["bits_per_token"]


def test_a_codebook_head_that_knows_the_frequencies_takes_their_cross_entropy(tiny_config):
    """Of letters over two pixels, beside a marker, on canvases with PAD: its bias is the logarithm of the frequencies,
    which is all that is to be known of them, and so the bound is exact wherever the path ends.
    """
    head = {"tagging": "both", "text_condition": True, "codebook_head": True, "codebook_input": True}
    denoiser = untrained(tiny_config(model=head, codec={"code": "radix:2:2"}))
    log_prior = np.log(np.arange(1, 28) / 378)
    bias = jnp.tile(jnp.asarray(log_prior / 2, jnp.float32), 16)  # each of a letter's two pixels says a half
    params = denoiser.params | {"out_ids": denoiser.params["out_ids"] | {"bias": bias}}
    *test, ids, lengths = text_canvases(denoiser.codec, 48, 0, 40)
    result = evaluate_likelihood(
        dataclasses.replace(denoiser, params=params), test, TEXT, validation=test, num_times=32, endpoints=(-4.0, 0, 4)
    )
    counted = ids[np.arange(denoiser.codec.capacity) < lengths[:, None]]
    assert result["tokens"] == len(counted)
    np.testing.assert_allclose(result["endpoints"]["network"], -log_prior[counted].mean() / np.log(2), rtol=0.02)
