"""The bound against distributions whose entropy is known, denoised by their exact posterior mean."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pixjax.codec import CanvasCodec, to_float
from pixjax.diffusion import matched_filter
from pixjax.diffusion.bound import (
    BINS,
    FLOOR,
    Bound,
    Proposal,
    draw,
    even,
    fitted,
    prior_kl,
    reconstruction_at,
    stratified_log_snr,
)
from pixjax.evaluation.likelihood import ALONE, KNOWN, fit_mix
from pixjax.evaluation.model_bound import image_reconstruction, text_reconstruction

pytestmark = pytest.mark.usefixtures("formulas")

CODEC = CanvasCodec("chars27", "radix:3:1", canvas_size=8, marker=False)
PRIOR = np.random.default_rng(3).dirichlet(np.full(27, 0.6)) * 0.99 + 0.01 / 27
LOG_PRIOR = np.log(PRIOR).astype(np.float32)


@pytest.fixture
def formulas():
    """The denoisers here are formulas, and may leave out the axes that say nothing."""
    with jax.numpy_rank_promotion("allow"):
        yield


def posterior_mean(choices, log_prior, noise_scale):
    """z [..., d] to E[x | z] for x one of `choices` [n, d] and z = t·x + (1-t)·s·ε, from the distance to each."""

    def mean(z, t):
        t = t.reshape(-1, *[1] * (z.ndim - 1))
        inner = z @ choices.T - 0.5 * t * jnp.sum(choices**2, axis=-1)  # what of |z - t·x|² depends on x, over -2t
        return jax.nn.softmax(t * inner / ((1 - t) * noise_scale) ** 2 + log_prior, axis=-1) @ choices

    return mean


def bits(
    denoise, x, reconstruct, *, mask=None, noise_scale=1.0, endpoints=(8.0,), num_times=32, low=-10.0, seed=0,
    proposal=None,
):  # fmt: skip
    """[batch, endpoints]."""
    mask = jnp.ones(x.shape[:3], bool) if mask is None else mask
    proposal = even(low, endpoints[-1]) if proposal is None else proposal

    @jax.jit
    def total(x, mask, proposal, key):
        draw_key, end_key = jax.random.split(key)
        draws = draw((denoise,), x, mask, proposal, noise_scale=noise_scale, num_times=num_times, key=draw_key)
        ends = [reconstruction_at(end, reconstruct, x, mask, end_key) for end in endpoints]
        bound = Bound(
            kl=prior_kl(x, mask, low), log_snr=draws.log_snr, contributions=draws.products[..., 0, 0] * draws.weight,
            reconstruction=jnp.stack(ends, axis=-1), endpoints=endpoints,
        )  # fmt: skip
        return bound.total / np.log(2)

    return np.asarray(total(x, mask, proposal, jax.random.key(seed)), np.float64)


def assert_is(found, truth, within):
    """Both a canvas; their means agree to a fraction `within`, and the bound is not below the truth."""
    excess = found - truth
    assert abs(excess.mean()) < within * truth.mean()
    assert excess.mean() > -3 * excess.std() / len(excess) ** 0.5


@pytest.mark.parametrize("noise_scale", [1.0, 2.0])
def test_one_of_n_canvases_takes_log2_n_bits(noise_scale):
    codec = CanvasCodec("chars27", "radix:3:1", canvas_size=3, marker=False)
    random = np.random.default_rng(0)
    choices = to_float(jnp.asarray(codec.encode_ids(random.integers(0, 27, (32, codec.capacity)))))
    mean = posterior_mean(choices.reshape(32, -1), 0.0, noise_scale)
    found = bits(
        lambda z, t: mean(z.reshape(len(z), -1), t).reshape(z.shape),
        choices[jnp.arange(8192) % 32],
        text_reconstruction(codec),
        noise_scale=noise_scale,
    )
    assert_is(found[:, 0], np.full(8192, 5.0), within=0.01)


def letters(num):
    ids = np.random.default_rng(1).choice(27, (num, CODEC.capacity), p=PRIOR)
    return to_float(jnp.asarray(CODEC.encode_ids(ids))), -np.log2(PRIOR[ids]).sum(axis=1)


def test_independent_letters_take_their_entropy():
    x, truth = letters(512)
    mean = posterior_mean(jnp.asarray(CODEC.colors[:, 0]), LOG_PRIOR, 1.0)

    def denoise(z, t):
        return mean(z, t)

    assert_is(bits(denoise, x, text_reconstruction(CODEC))[:, 0], truth, within=0.01)
    entropy = -np.sum(PRIOR * np.log2(PRIOR))
    assert abs(truth.mean() / CODEC.capacity - entropy) < 0.01 * entropy


def test_gaussian_pixels_take_the_entropy_of_their_256_levels():
    std = 0.25
    random = np.random.default_rng(0)
    levels = np.arange(256)
    p = np.exp(-0.5 * ((levels / 127.5 - 1) / std) ** 2)
    p /= p.sum()
    u = random.choice(256, (256, 8, 8, 3), p=p).astype(np.uint8)
    truth = -np.log2(p[u]).sum(axis=(1, 2, 3))

    def denoise(z, t):
        t = t[:, None, None, None]
        return t * std**2 / (t**2 * std**2 + (1 - t) ** 2) * z

    found = bits(denoise, to_float(jnp.asarray(u)), image_reconstruction(), endpoints=(9.0, 10.0, 14.0))
    for end in (0, 1):
        assert_is(found[:, end], truth, within=0.005)
    assert found[:, 2].mean() > 1.05 * truth.mean()  # above the noise of rounding the line is not the posterior mean
    entropy = 0.5 * np.log2(2 * np.pi * np.e * std**2) + np.log2(127.5)
    assert abs(truth.mean() / 192 - entropy) < 0.005 * entropy


@pytest.mark.parametrize("noise_scale", [1.0, 0.5])
@pytest.mark.parametrize("code", ["radix:3:1", "radix:2:2:permuted"])
def test_the_matched_filter_is_the_posterior_mean_of_each_cell(code, noise_scale):
    codec = CanvasCodec("chars27", code, canvas_size=5)
    z = jax.random.normal(jax.random.key(0), (2, 5, 5, 3))
    t = jnp.array([0.3, 0.8])
    colors = jnp.asarray(codec.colors.reshape(27, -1))
    cells = z.reshape(2, 25, 3)[:, codec.cell_index].reshape(2, codec.capacity, -1)
    expected = posterior_mean(colors, LOG_PRIOR, noise_scale)(cells, t)
    found = matched_filter(codec, noise_scale, LOG_PRIOR)(z, t).reshape(2, 25, 3)
    np.testing.assert_allclose(found[:, codec.cell_index].reshape(expected.shape), expected, atol=1e-4)


def test_where_the_matched_filter_takes_over_does_not_matter():
    """Its decoder stands for all that it would contribute above: the bound is the same at every endpoint."""
    x, truth = letters(512)
    found = bits(
        matched_filter(CODEC, 1.0, LOG_PRIOR), x, text_reconstruction(CODEC, LOG_PRIOR), endpoints=(-6.0, 0.0, 3.0, 8.0)
    )
    for end in range(4):
        assert_is(found[:, end], truth, within=0.01)


def test_a_wrong_prior_costs_its_relative_entropy():
    x, _ = letters(512)
    wrong = np.full(27, 1 / 27)
    found = bits(matched_filter(CODEC, 1.0), x, text_reconstruction(CODEC))
    np.testing.assert_allclose(found.mean(), -np.log2(wrong).mean() * CODEC.capacity, rtol=0.01)


def test_posteriors_of_a_large_vocabulary_are_computed_in_parts(monkeypatch):
    x, _ = letters(4)
    run = functools.partial(bits, matched_filter(CODEC, 1.0, LOG_PRIOR), x, text_reconstruction(CODEC, LOG_PRIOR))
    whole = run(num_times=2)
    monkeypatch.setattr("pixjax.diffusion.posterior._POSTERIORS", 4 * 27 * 5)  # does not divide 64 cells
    np.testing.assert_allclose(run(num_times=2), whole, rtol=1e-5)


def test_only_counted_pixels_enter():
    x, _ = letters(256)
    mask = jnp.zeros(x.shape[:3], bool).at[:, :4].set(True)
    perfect_elsewhere = matched_filter(CODEC, 1.0, LOG_PRIOR)

    def denoise(z, t):
        return jnp.where(mask[..., None], perfect_elsewhere(z, t), jnp.nan)

    half = np.asarray(bits(denoise, x, text_reconstruction(CODEC, LOG_PRIOR), mask=mask, endpoints=(4.0, 8.0)))
    expected = -np.log2(PRIOR)[np.asarray(CODEC.decode_ids(x)[0])][:, : CODEC.capacity // 2].sum(axis=1)
    assert_is(half[:, 1], expected, within=0.015)
    u = to_float(jnp.full((2, 8, 8, 3), 77, jnp.uint8))
    exact = bits(lambda z, t: u, u, image_reconstruction(), mask=mask[:2], endpoints=(14.0,))
    # A perfect denoiser leaves the KL, and a decoder that cannot fail.
    np.testing.assert_allclose(exact[:, 0], 0.5 * np.exp(-10) * 96 * (77 / 127.5 - 1) ** 2 / np.log(2), atol=0.02)


@pytest.mark.parametrize("low", [-4.0, 1.0])
def test_the_start_of_the_path_is_paid_for(low):
    """Mid-grey everywhere is what the noise at the start stands for: where the path starts then changes nothing."""
    x = to_float(jnp.full((64, 1, 1, 3), 200, jnp.uint8))
    found = bits(lambda z, t: jnp.zeros_like(z), x, lambda x, *_: jnp.zeros(len(x)), endpoints=(1.5, 2.0), low=low)
    expected = 0.5 * np.exp([1.5, 2.0]) * 3 * (200 / 127.5 - 1) ** 2 / np.log(2)
    np.testing.assert_allclose(found.mean(axis=0), expected, rtol=0.01)


def test_times_are_uniform_one_by_one_and_even_together():
    keys = jax.random.split(jax.random.key(0), 4000)
    many = np.asarray(jax.vmap(lambda key: stratified_log_snr(key, 5, 4, even(-10.0, 2.0), 3))(keys))[:, :3]
    assert many.min() >= -10
    assert many.max() < 2
    np.testing.assert_allclose(many.mean(axis=0), -4.0, atol=4 * 12**0.5 / 4000**0.5)
    np.testing.assert_allclose(np.diff(np.sort(many.reshape(len(many), -1), axis=1)), 1.0, atol=1e-5)
    np.testing.assert_allclose(np.diff(np.sort(many, axis=2), axis=2), 3.0, atol=1e-5)  # of one canvas


def test_stratified_times_reduce_the_variance():
    """Against as many independent times, for a denoiser whose error does not depend on the noise."""
    x = jnp.ones((4, 1, 1, 3))
    mask = jnp.ones((4, 1, 1), bool)

    def stratified(key):
        proposal = even(-10.0, 2.0)
        draws = draw((lambda z, t: jnp.zeros_like(z),), x, mask, proposal, noise_scale=1.0, num_times=16, key=key)
        return (draws.products[..., 0, 0] * draws.weight).sum(axis=1).mean()

    keys = jax.random.split(jax.random.key(0), 200)
    found = np.asarray(jax.jit(jax.vmap(stratified))(keys))
    truth = 1.5 * (np.exp(2) - np.exp(-10))
    independent = 1.5 * 12 * np.exp(np.random.default_rng(0).uniform(-10, 2, (200, 64))).mean(axis=1)
    np.testing.assert_allclose(found.mean(), truth, rtol=0.03)
    assert found.std() < 0.25 * independent.std()


def test_a_proposal_is_followed_and_each_draw_stands_for_one_over_its_density():
    shares = np.random.default_rng(0).dirichlet(np.full(BINS, 0.5)) * 0.9 + 0.1 / BINS
    edges = np.linspace(-10, 14, BINS + 1)
    proposal = Proposal(edges=edges, shares=shares)
    drawn = np.asarray(stratified_log_snr(jax.random.key(0), 500, 16, proposal, 500))
    np.testing.assert_allclose(np.histogram(drawn, edges)[0] / drawn.size, shares, atol=3e-4)
    centres = (edges[1:] + edges[:-1]) / 2
    np.testing.assert_allclose(proposal.density(centres), shares / 0.5, rtol=1e-5)


@pytest.mark.parametrize("draws", [1, 8, 40, 4000])
def test_a_fitted_proposal_goes_where_the_integrand_is_and_leaves_no_place_out(draws):
    log_snr = np.linspace(-10, 13.99, draws)
    proposal = fitted(log_snr, np.where(np.abs(log_snr) < 2, 3.0, 0.0), -10.0, 14.0)
    assert proposal.shares.sum() == pytest.approx(1, abs=1e-5)
    assert proposal.shares.min() >= 0.999 * FLOOR / BINS
    if draws == 4000:
        inside = np.abs(proposal.edges[1:] - 0.25) < 2
        assert proposal.shares[inside].sum() == pytest.approx(0.85, abs=0.1)  # its neighbours have some


def test_what_was_nowhere_or_is_not_finite_is_looked_at_evenly():
    log_snr = np.linspace(-10, 7.9, 100)
    for integrand in (np.zeros(100), np.full(100, np.nan), np.full(100, np.inf)):
        np.testing.assert_allclose(fitted(log_snr, integrand, -10.0, 8.0).shares, 1 / BINS)


def test_the_bound_is_the_same_for_every_proposal_and_its_own_takes_fewer_draws():
    """Independent letters and their exact denoiser: the entropy is known, and nothing of it lies above log-SNR 5."""
    x, truth = letters(512)
    filtered = matched_filter(CODEC, 1.0, LOG_PRIOR)
    decode = text_reconstruction(CODEC, LOG_PRIOR)
    mask = jnp.ones(x.shape[:3], bool)
    run = jax.jit(lambda key, plain: draw((filtered,), x, mask, plain, noise_scale=1.0, num_times=8, key=key))
    seen = run(jax.random.key(9), even(-10.0, 14.0))
    fit = fitted(np.ravel(seen.log_snr), np.ravel(seen.products), -10.0, 14.0)
    wrong = Proposal(edges=fit.edges, shares=fit.shares[::-1].copy())
    spread = {}
    for name, proposal in {"even": even(-10.0, 14.0), "fitted": fit, "wrong": wrong}.items():
        found = bits(filtered, x, decode, endpoints=(14.0,), num_times=8, proposal=proposal)[:, 0]
        assert_is(found, truth, within=0.05 if name == "wrong" else 0.01)
        spread[name] = np.var(found - truth)
    assert spread["fitted"] < 0.4 * spread["even"] < 0.4 * spread["wrong"]


def test_a_mix_takes_the_network_where_it_is_better():
    """Between what is known and a network, by log-SNR: never worse than either, and exact where both err apart."""
    x = jax.random.uniform(jax.random.key(0), (64, 4, 4, 3), minval=-1, maxval=1)
    mask = jnp.ones(x.shape[:3], bool)

    def noisy_canvas(z, t):
        return z / t[:, None, None, None]

    def network(z, t):  # errs by 0.1, whatever the noise: worse than the noisy canvas from log-SNR 4.6 on
        return x + 0.1 * jnp.where(jnp.arange(4)[:, None] % 2, 1.0, -1.0)

    run = jax.jit(
        lambda key: draw(
            (noisy_canvas, network), x, mask, even(-10.0, 14.0), noise_scale=1.0, num_times=16, key=key
        )
    )  # fmt: skip
    seen, other = (jax.tree.map(lambda v: np.asarray(v, np.float64), run(jax.random.key(seed))) for seed in (1, 2))
    mix = fit_mix(seen.log_snr.ravel(), seen.products.reshape(-1, 2, 2), -10.0, 14.0)
    best = 1 / (1 + np.exp(mix.log_snr) * 0.01)  # of two errors that have nothing to do with one another
    np.testing.assert_allclose(mix.network, best, atol=0.06)
    nats = {name: (other.integrand(shares) * other.weight).sum() for name, shares in
            {"known": KNOWN, "network": ALONE, "mixed": mix.shares(other.log_snr)}.items()}  # fmt: skip
    assert nats["mixed"] < min(nats["known"], nats["network"])
