"""The same maps under `jax.jit`: the same ids and canvases, bit for bit, and the same margins."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pixjax.codec import CanvasCodec, to_float, to_uint8

CODECS = {
    "letters": CanvasCodec("chars27", "radix:3:1", "patch", 16),
    "bytes": CanvasCodec("bytes", "radix:auto:1", "raster", 16),
    "base256": CanvasCodec("bytes", "base256", "raster", 16, False),
    "gray": CanvasCodec("bytes", "radix:9:1:gray", "patch", 16, marker_size=2),
    "bits": CanvasCodec("bytes", "radix:2:6:permuted", "patch", 16),
}


@pytest.fixture(params=CODECS, scope="module")
def codec(request) -> CanvasCodec:
    return CODECS[request.param]


def noisy(codec: CanvasCodec, sigma: float, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    ids = random.integers(0, codec.vocab_size, (4, codec.capacity))
    canvases = to_float(codec.encode_ids(ids))
    return (canvases + sigma * random.normal(size=canvases.shape)).astype(np.float32)


def test_ids_and_margins_of_noisy_canvases_agree(codec):
    decode = jax.jit(codec.decode_ids)
    for sigma in (0.0, 0.003, 0.05, 0.3, 2.0):
        x = noisy(codec, sigma)
        ids, margin = codec.decode_ids(x)
        ids_jax, margin_jax = decode(x)
        np.testing.assert_array_equal(ids, ids_jax)
        np.testing.assert_allclose(margin, margin_jax, atol=1e-5)


def test_uint8_canvases_and_their_floats_decode_alike_ties_included(codec):
    canvases = np.random.default_rng(1).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    ids, margin = codec.decode_ids(canvases)
    for other in (codec.decode_ids(to_float(canvases)), jax.jit(codec.decode_ids)(canvases)):
        np.testing.assert_array_equal(ids, other[0])
        np.testing.assert_allclose(margin, other[1], atol=1e-5)
    floats_jax = jax.jit(lambda u: codec.decode_ids(to_float(u)))(canvases)
    np.testing.assert_array_equal(ids, floats_jax[0])


def test_encoding_masks_and_markers_agree(codec):
    ids = np.random.default_rng(2).integers(0, codec.vocab_size, (3, codec.capacity)).astype(np.int32)
    ids[:, -9:] = codec.pad_id
    canvases = codec.encode_ids(ids)
    np.testing.assert_array_equal(canvases, jax.jit(codec.encode_ids)(ids))
    np.testing.assert_array_equal(codec.loss_mask(ids), jax.jit(codec.loss_mask)(ids))
    modality = np.array([0, 1, 0])
    np.testing.assert_array_equal(codec.mark(canvases, modality), jax.jit(codec.mark)(canvases, modality))


def test_modality_agrees(codec):
    x = np.random.default_rng(3).normal(size=(64, 16, 16, 3)).astype(np.float32)
    modality, margin = codec.decode_modality(x)
    modality_jax, margin_jax = jax.jit(codec.decode_modality)(x)
    np.testing.assert_array_equal(modality, modality_jax)
    np.testing.assert_allclose(margin, margin_jax, atol=1e-6)


def test_soft_decoding_agrees(codec):
    x = noisy(codec, 0.2)[:1]
    prior = np.log(np.random.default_rng(4).dirichlet(np.ones(codec.vocab_size))).astype(np.float32)
    ours = codec.decode_soft(x, 0.2, prior)
    jitted = jax.jit(codec.decode_soft)(x, 0.2, prior)
    np.testing.assert_allclose(ours, jitted, rtol=1e-4, atol=1e-3)


def test_bfloat16_canvases_decode(codec):
    x = jnp.asarray(noisy(codec, 0.0), jnp.bfloat16)
    ids, _ = jax.jit(codec.decode_ids)(x)
    if codec.color_code.levels < 16:  # bfloat16 has eight bits: finer levels than that are lost in it
        np.testing.assert_array_equal(ids, codec.decode_ids(noisy(codec, 0.0))[0])


def test_scales_are_inverse_in_both():
    levels = np.arange(256, dtype=np.uint8)
    assert (to_uint8(to_float(levels)) == levels).all()
    assert (jax.jit(lambda u: to_uint8(to_float(u)))(levels) == levels).all()
    assert to_float(levels)[[0, 255]].tolist() == [-1, 1]
    assert to_uint8(np.array([-5.0, 5.0, 1 / 255], np.float32)).tolist() == [0, 255, 128]


def test_the_codec_imports_no_jax():
    import subprocess
    import sys

    code = (
        "import sys; from pixjax.codec import CanvasCodec; c = CanvasCodec(canvas_size=8);"
        "c.decode(c.encode('x')); assert 'jax' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
