"""Our denoiser equals JiT in PyTorch, to rounding, through the map of parameter names.

Where PyTorch is absent, what it made once is compared with (`golden_jit.npz`; renew it with
`python tests/models/jit_in_torch.py`).
"""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pixjax.config import ModelConfig
from pixjax.errors import InputError
from pixjax.interop.jit_names import expected_shapes, params_from_state_dict, state_dict_from_params
from pixjax.models import JiT, denoise

GOLDEN = pathlib.Path(__file__).with_name("golden_jit.npz")
TOLERANCE = 1e-4
KINDS = ("conditional", "unconditional")
SMALL = ModelConfig(
    variant="Ti",
    canvas_size=16,
    patch_size="4",
    tagging="none",
    width=16,
    depth=3,
    heads=2,
    bottleneck=6,
    num_classes=3,
    in_context_tokens=5,
    dtype="float32",
)
CONFIGS = {
    "conditional": SMALL,
    "unconditional": ModelConfig(**vars(SMALL) | {"num_classes": 0, "in_context_tokens": 0}),
}


def ours(config, tensors, z, t, label):
    params = params_from_state_dict(config, {k.removeprefix("net."): v for k, v in tensors.items()})
    label = jnp.where(label == config.num_classes, -1, label)
    return jax.jit(denoise, static_argnums=0)(JiT(config), params, z, t, None, label)


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN, allow_pickle=False) as stored:
        return {
            kind: {name.removeprefix(f"{kind}/"): stored[name] for name in stored if name.startswith(f"{kind}/")}
            for kind in KINDS
        }


def split(stored):
    return {k: v for k, v in stored.items() if k.startswith("net.")}, [
        jnp.asarray(stored[k]) for k in ("z", "t", "label")
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_equals_what_pytorch_made_of_the_same_weights(kind, golden):
    tensors, inputs = split(golden[kind])
    difference = np.abs(ours(CONFIGS[kind], tensors, *inputs) - golden[kind]["x_hat"]).max()
    print(f"{kind}: max abs difference to the golden file {difference:.2g}")
    assert difference <= TOLERANCE
    assert golden[kind]["x_hat"].std() > 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_every_stored_weight_matters(kind, golden):
    """A golden file of silent layers would prove nothing: each tensor, changed alone, changes the output."""
    config = CONFIGS[kind]
    tensors, (z, t, label) = split(golden[kind])
    params = params_from_state_dict(config, {k.removeprefix("net."): v for k, v in tensors.items()})

    def output(params):
        return jnp.sum(denoise(JiT(config), params, z, t, None, jnp.asarray(label) % 4) * z)

    gradient = state_dict_from_params(config, jax.device_get(jax.jit(jax.grad(output))(params)))
    assert not [name for name, g in gradient.items() if np.abs(g).max() < 1e-6]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sizes", [{"depth": 6, "start": 2}, {"size": 24, "width": 24, "heads": 3, "patch": 8}])
def test_equals_the_pytorch_network(kind, sizes):
    torch_jit = pytest.importorskip("jit_in_torch", reason="PyTorch is not installed", exc_type=ImportError)
    sizes = (torch_jit.CONDITIONAL if kind == "conditional" else torch_jit.SIZES) | sizes
    if kind == "unconditional":
        sizes.pop("start", None)
    network = torch_jit.random_jit(2, **sizes)
    inputs = torch_jit.random_inputs(3, size=sizes["size"], classes=sizes.get("classes", 0))
    config = ModelConfig(
        variant="Ti",
        canvas_size=sizes["size"],
        patch_size=str(sizes["patch"]),
        tagging="none",
        num_classes=sizes.get("classes", 0),
        in_context_tokens=sizes.get("in_context", 0),
        dtype="float32",
        **{name: sizes[name] for name in ("width", "depth", "heads", "bottleneck")},
    )
    expected = torch_jit.run(network, *inputs)
    difference = np.abs(ours(config, torch_jit.state_dict(network), *inputs) - expected).max()
    print(f"{kind} {sizes}: max abs difference {difference:.2g} of {np.abs(expected).max():.2g}")
    assert difference <= TOLERANCE


@pytest.mark.parametrize("kind", KINDS)
def test_there_and_back_is_the_identity(kind, golden):
    config = CONFIGS[kind]
    tensors = {k.removeprefix("net."): v for k, v in split(golden[kind])[0].items()}
    back = state_dict_from_params(config, params_from_state_dict(config, tensors))
    assert back.keys() == tensors.keys()
    for name, tensor in tensors.items():
        if name != "pos_embed":
            np.testing.assert_array_equal(back[name], tensor, err_msg=name)


def test_published_sizes_have_the_published_shapes():
    config = ModelConfig(variant="B", canvas_size=256, patch_size="16", tagging="none", num_classes=1000)
    shapes = expected_shapes(config)
    assert shapes["x_embedder.proj1.weight"] == (128, 3, 16, 16)
    assert shapes["x_embedder.proj2.weight"] == (768, 128, 1, 1)
    assert shapes["pos_embed"] == (1, 256, 768)
    assert shapes["in_context_posemb"] == (1, 32, 768)
    assert shapes["y_embedder.embedding_table.weight"] == (1001, 768)
    assert shapes["blocks.11.attn.qkv.weight"] == (2304, 768)
    assert shapes["blocks.0.attn.q_norm.weight"] == (64,)
    assert shapes["blocks.3.mlp.w12.weight"] == (4096, 768)
    assert shapes["blocks.3.mlp.w3.weight"] == (768, 2048)
    assert shapes["blocks.3.adaLN_modulation.1.weight"] == (4608, 768)
    assert shapes["final_layer.linear.weight"] == (768, 768)
    assert len(shapes) == 12 * 14 + 15


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"blocks.2.mlp.w3.bias": None}, r"missing: blocks\.2\.mlp\.w3\.bias"),
        ({"head.weight": np.zeros(3)}, r"not of JiT: head\.weight"),
        ({"final_layer.linear.bias": np.zeros(47)}, r"misshaped: final_layer\.linear\.bias \(47,\) instead of \(48,\)"),
        ({"pos_embed": np.zeros((1, 16, 16), np.float32)}, "differs by 1 from the frozen sin-cos table"),
        ({"blocks.1.norm1.weight": np.full(16, np.nan)}, r"not finite in blocks\.1\.norm1\.weight"),
    ],
)
def test_wrong_tensors_are_named(change, message, golden):
    tensors = {k.removeprefix("net."): v for k, v in split(golden["conditional"])[0].items()} | change
    with pytest.raises(InputError, match=message):
        params_from_state_dict(SMALL, {k: v for k, v in tensors.items() if v is not None})


def test_rotary_buffers_are_recomputed(golden):
    tensors = {k.removeprefix("net."): v for k, v in split(golden["unconditional"])[0].items()}
    buffers = {"feat_rope.freqs_cos": np.ones((16, 8)), "feat_rope_incontext.freqs_sin": np.ones((21, 8))}
    config = CONFIGS["unconditional"]
    with_buffers = params_from_state_dict(config, tensors | buffers)
    jax.tree.map(np.testing.assert_array_equal, with_buffers, params_from_state_dict(config, tensors))
