"""The denoiser: what may influence what, what its parts equal, and what it costs."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from filled import filled

from pixjax import models
from pixjax.codec import IMAGE, TEXT
from pixjax.config import ModelConfig
from pixjax.errors import InputError
from pixjax.models import NO_TYPE, VARIANTS, Context, JiT
from pixjax.models.patches import patchify, rope_angles, rotate, sincos_table, unpatchify

denoise = jax.jit(models.denoise, static_argnums=0)
SMALL = ModelConfig(
    variant="Ti",
    canvas_size=8,
    patch_size="4",
    tagging="condition",
    depth=3,
    width=32,
    heads=2,
    dtype="float32",
)


def random_params(model: JiT):
    size = model.config.canvas_size
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, size, size, 3)), jnp.zeros(1))["params"]
    return filled(shapes, 0.3, seed=1)


@pytest.fixture(scope="module")
def small():
    model = JiT(dataclasses.replace(SMALL, num_classes=3))
    params = random_params(model)
    apply = jax.jit(lambda z, t, type_id, label: model.apply({"params": params}, z, t, type_id, label))
    return model, params, apply


def inputs(batch: int = 1):
    z = jax.random.normal(jax.random.key(7), (batch, 8, 8, 3))
    return z, jnp.full(batch, 0.4), jnp.full(batch, 1), jnp.full(batch, 2)


def gradient(model: JiT, params):
    return jax.jit(jax.grad(lambda p: jnp.sum(model.apply({"params": p}, *inputs()) ** 2)))(params)


@pytest.fixture(scope="module")
def small_gradient(small):
    model, params, _ = small
    return gradient(model, params)


def test_output_starts_at_zero():
    model = JiT(SMALL)
    z, t, type_id, _ = inputs()
    params = jax.jit(model.init)(jax.random.key(0), z, t)["params"]
    np.testing.assert_array_equal(denoise(model, params, z, t, type_id), 0.0)


def test_every_output_patch_depends_on_every_input_patch(small):
    _, _, apply = small
    z, *rest = inputs()
    jacobian = jax.jit(jax.jacobian(lambda z: apply(z, *rest)[0]))(z)[:, :, :, 0]  # out y x c, in y x c
    strength = np.abs(jacobian).reshape(2, 4, 2, 4, 3, 2, 4, 2, 4, 3).sum(axis=(1, 3, 4, 6, 8, 9))
    assert (strength > 0).all()


def test_output_depends_on_time_type_and_label(small):
    _, _, apply = small
    z, t, type_id, label = inputs()
    out = apply(z, t, type_id, label)
    for other in ((z, t + 0.1, type_id, label), (z, t, type_id * 0, label), (z, t, type_id, label - 1)):
        assert np.abs(apply(*other) - out).max() > 1e-3


def test_canvases_of_a_batch_do_not_influence_each_other(small):
    _, _, apply = small
    z, *rest = inputs(batch=2)
    changed = apply(z.at[1].add(1.0), *rest)
    np.testing.assert_allclose(changed[0], apply(z, *rest)[0], atol=1e-5)
    assert np.abs(changed[1] - apply(z, *rest)[1]).max() > 1e-3


def test_untrained_explicit_type_equals_no_condition():
    model = JiT(SMALL)
    params = random_params(model)
    z, t, *_ = inputs()
    params["type_embedding"] = params["type_embedding"].at[0].set(0.0)  # text: as it is initialised
    apply = jax.jit(lambda type_id: model.apply({"params": params}, z, t, type_id))
    out = [apply(jnp.array([type_id])) for type_id in (NO_TYPE, 0, 1)]
    np.testing.assert_array_equal(out[0], out[1])
    assert np.abs(out[0] - out[2]).max() > 1e-3


@pytest.fixture(scope="module")
def with_context():
    model = JiT(dataclasses.replace(SMALL, context_canvases=2))
    params = random_params(model)
    apply = jax.jit(lambda z, t, context: model.apply({"params": params}, z, t, context=context))
    return apply, Context(jax.random.normal(jax.random.key(8), (1, 2, 8, 8, 3)), jnp.array([[True, False]]))


def test_every_output_patch_depends_on_every_context_patch(with_context):
    apply, context = with_context
    z, t, *_ = inputs()
    out = lambda canvases: apply(z, t, Context(canvases, jnp.array([[True, True]])))[0]  # noqa: E731
    jacobian = jax.jit(jax.jacobian(out))(context.canvases)[:, :, :, 0]
    strength = np.abs(jacobian).reshape(2, 4, 2, 4, 3, 2, 2, 4, 2, 4, 3).sum(axis=(1, 3, 4, 7, 9, 10))
    assert (strength > 0).all()


def test_padding_context_has_no_influence_at_all(with_context):
    apply, context = with_context
    z, t, *_ = inputs()
    gradient = jax.grad(lambda canvases: jnp.sum(apply(z, t, Context(canvases, context.present)) ** 2))(
        context.canvases
    )
    assert (gradient[:, 1] == 0).all()
    assert (gradient[:, 0] != 0).all()
    poisoned = context.canvases.at[:, 1].set(jnp.nan)
    np.testing.assert_array_equal(apply(z, t, Context(poisoned, context.present)), apply(z, t, context))
    absent = Context(context.canvases, jnp.zeros((1, 2), bool))
    np.testing.assert_allclose(apply(z, t, absent), apply(z, t, None), atol=2e-5)
    first = Context(context.canvases[:, :1], context.present[:, :1])
    np.testing.assert_allclose(apply(z, t, first), apply(z, t, context), atol=2e-5)


def test_pages_of_the_context_are_told_apart(with_context):
    apply, context = with_context
    z, t, *_ = inputs()
    both = jnp.ones((1, 2), bool)
    swapped = apply(z, t, Context(context.canvases[:, ::-1], both))
    assert np.abs(swapped - apply(z, t, Context(context.canvases, both))).max() > 1e-3


def test_the_modality_of_a_canvas_of_the_context_is_seen(with_context):
    apply, context = with_context
    z, t, *_ = inputs()
    text, image, unsaid = (apply(z, t, context._replace(modality=jnp.array([[m, 0]]))) for m in (0, 1, -1))
    assert np.abs(text - image).max() > 1e-3
    assert np.abs(text - unsaid).max() > 1e-3
    np.testing.assert_allclose(unsaid, apply(z, t, context), atol=2e-5)
    of_absent = apply(z, t, context._replace(modality=jnp.array([[1, 1]])))
    np.testing.assert_array_equal(of_absent, image)


def test_a_model_that_may_have_context_computes_nothing_for_it_without():
    z, t, *_ = inputs()
    programs = []
    for pages in (0, 2):
        model = JiT(dataclasses.replace(SMALL, context_canvases=pages))
        params = jax.eval_shape(model.init, jax.random.key(0), z, t)["params"]
        run = lambda params, z, t, model=model: model.apply({"params": params}, z, t)  # noqa: E731
        shared = {name: value for name, value in params.items() if not name.startswith("context_")}
        assert len(params) - len(shared) == (2 if pages else 0)
        of_context = {name: jnp.zeros(params[name].shape) for name in params.keys() - shared.keys()}
        programs.append(str(jax.make_jaxpr(lambda p, z, t, of=of_context, run=run: run(p | of, z, t))(shared, z, t)))
    assert programs[0] == programs[1]


@pytest.mark.parametrize("remat", ["none", "full"])
def test_unrolled_layers_compute_what_scanned_layers_do(remat, small, small_gradient):
    model, params, _ = small
    unrolled = JiT(dataclasses.replace(model.config, scan_layers=False, remat=remat))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3), gradient(unrolled, params), small_gradient
    )


@pytest.mark.parametrize("patch_size", ["4", "1x8", "8x2"])
def test_patches_return_to_the_canvas_they_came_from(patch_size):
    config = dataclasses.replace(SMALL, patch_size=patch_size)
    canvas = jnp.arange(2 * 8 * 8 * 3).reshape(2, 8, 8, 3)
    height, width = config.patch
    patches = patchify(canvas, config.patch)
    np.testing.assert_array_equal(patches[0, 0].reshape(height, width, 3), canvas[0, :height, :width])
    np.testing.assert_array_equal(unpatchify(patches, config.patch, config.grid), canvas)


def test_rope_makes_scores_a_function_of_the_offset_alone():
    """Moving query and key by the same rows and columns leaves their product unchanged."""
    rows, columns, head_width = 5, 6, 16
    angles = rope_angles(rows, columns, head_width)
    q, k = jax.random.normal(jax.random.key(0), (2, head_width))
    turned_q, turned_k = (rotate(jnp.tile(x, (1, rows * columns, 1, 1)), angles)[0, :, 0] for x in (q, k))
    scores = np.asarray(turned_q @ turned_k.T).reshape(rows, columns, rows, columns)
    np.testing.assert_allclose(scores[0, 1, 2, 4], scores[2, 0, 4, 3], rtol=1e-4)
    assert abs(scores[0, 1, 2, 4] - scores[0, 1, 4, 2]) > 1e-3


def test_one_dimensional_rope_goes_by_the_offset_in_reading_order():
    angles = rope_angles(5, 6, 16, kind="1d")
    q, k = jax.random.normal(jax.random.key(0), (2, 16))
    turned_q, turned_k = (rotate(jnp.tile(x, (1, 30, 1, 1)), angles)[0, :, 0] for x in (q, k))
    scores = np.asarray(turned_q @ turned_k.T)
    np.testing.assert_allclose(scores[4, 7], scores[20, 23], rtol=1e-3)  # over the end of a line or within one
    assert abs(scores[4, 7] - scores[4, 10]) > 1e-3
    assert len(np.unique(angles[1])) == 8  # every pair turns at a rate of its own


@pytest.mark.parametrize("scan_layers", [True, False])
def test_images_have_feed_forward_layers_of_their_own(scan_layers):
    """Text, its context and its in-context tokens go through the first ones, images and theirs through the others."""
    config = dataclasses.replace(
        SMALL, modality_mlp=True, context_canvases=2, in_context_tokens=2, scan_layers=scan_layers
    )
    model = JiT(config)
    params = random_params(model)
    z, t = jax.random.normal(jax.random.key(7), (2, 8, 8, 3)), jnp.full(2, 0.4)
    pages = jax.random.normal(jax.random.key(8), (2, 2, 8, 8, 3))
    modality = jnp.array([TEXT, IMAGE])
    context = Context(pages, jnp.ones((2, 2), bool), jnp.tile(modality[:, None], (1, 2)))

    def denoised(without=""):
        def keep(path, value):
            return np.multiply(value, without not in [key.key for key in path])

        return denoise(model, jax.tree_util.tree_map_with_path(keep, params), z, t, modality, context=context)

    for name, untouched in (("mlp_image", 0), ("mlp", 1)):
        moved = np.abs(denoised(without=name) - denoised()).max(axis=(1, 2, 3))
        assert moved[untouched] == 0
        assert moved[1 - untouched] > 1e-3


def test_feed_forward_layers_of_a_modality_need_to_be_told_it():
    with pytest.raises(InputError, match=r"model\.modality_mlp=True goes by the type condition"):
        dataclasses.replace(SMALL, modality_mlp=True, tagging="marker")


def test_tokens_without_a_place_are_not_turned():
    x = jax.random.normal(jax.random.key(0), (1, 3 + 4, 1, 8))
    turned = rotate(x, rope_angles(2, 2, 8, unrotated=3))
    np.testing.assert_array_equal(turned[:, :4], x[:, :4])  # the three, and the place (0, 0)
    assert np.abs(turned[:, 4:] - x[:, 4:]).max() > 0.1


def test_sincos_table_tells_rows_from_columns():
    table = sincos_table(3, 4, 16).reshape(3, 4, 16)
    np.testing.assert_array_equal(table[0, 2, :8], table[2, 2, :8])
    np.testing.assert_array_equal(table[1, 0, 8:], table[1, 3, 8:])
    np.testing.assert_allclose(table[0, 3, 0], np.sin(3.0), rtol=1e-6)


@pytest.mark.parametrize("remat", ["full", "dots"])
def test_recomputing_activations_changes_no_gradient(remat, small, small_gradient):
    model, params, _ = small
    grad = gradient(JiT(dataclasses.replace(model.config, remat=remat)), params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3), grad, small_gradient)


def test_dropout_acts_in_the_middle_half_of_the_blocks_alone():
    model = JiT(dataclasses.replace(SMALL, depth=4, dropout=0.5, in_context_tokens=0))
    params = random_params(model)
    z, t, *_ = inputs()

    @jax.jit
    def output(params, key):
        return model.apply({"params": params}, z, t, deterministic=False, rngs={"dropout": key})

    def outputs(params):
        return [output(params, jax.random.key(seed)) for seed in (0, 1)]

    first, second = outputs(params)
    assert np.abs(first - second).max() > 1e-3
    silent = jax.tree.map(lambda x: x, params)  # blocks 1 and 2 without an effect: their gates are zero
    gates = np.r_[2 * 32 : 3 * 32, 5 * 32 : 6 * 32]
    for leaf in ("kernel", "bias"):
        value = silent["blocks"]["modulation"][leaf]
        silent["blocks"]["modulation"][leaf] = value.at[1:3, ..., gates].set(0.0)
    first, second = outputs(silent)
    np.testing.assert_array_equal(first, second)


def test_b16_at_256_pixels_has_the_published_number_of_parameters():
    config = ModelConfig(variant="B", canvas_size=256, patch_size="16", tagging="none", num_classes=1000)
    shapes = jax.eval_shape(lambda: JiT(config).init(jax.random.key(0), jnp.zeros((1, 256, 256, 3)), jnp.zeros(1)))
    assert round(sum(x.size for x in jax.tree.leaves(shapes)) / 1e6) == 131


def test_wrong_architectures_are_refused_in_one_line():
    with pytest.raises(InputError, match=r"heads=5 does not divide .*width=192"):
        JiT(ModelConfig(variant="Ti", heads=5))
    with pytest.raises(InputError, match="choose one of " + ", ".join(VARIANTS)):
        JiT(ModelConfig(variant="XXL"))
