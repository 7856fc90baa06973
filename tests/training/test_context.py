"""One set of weights answers text with text, text with a picture and a picture with text: prompts it has never seen.

Words are answered by their letters reversed. A colour has a name of three letters, one each for how much red, green and
blue it has: the name is answered by the colour, the colour by its name. A quarter of the colours is held out.
"""

import itertools
import json

import jax
import numpy as np
import pytest
from checked import generate
from PIL import Image

from pixjax.checkpoints.load import Denoiser
from pixjax.codec import IMAGE, CanvasCodec
from pixjax.config import MeshConfig
from pixjax.data import make_batches
from pixjax.data.source import Picture
from pixjax.sampling.prompts import make_context, read_prompt
from pixjax.training.mesh import make_mesh
from pixjax.training.optimizer import make_optimizer
from pixjax.training.state import init_state, make_model
from pixjax.training.step import make_train_step

LEVELS = {"a": 0, "b": 85, "c": 170, "d": 255}
NAMES = ["".join(letters) for letters in itertools.product(LEVELS, repeat=3)]
LETTERS = list("abcdefghijklmnopqrstuvwxyz")
WORD = 5

SECTIONS = {
    "model": {
        "canvas_size": 8, "patch_size": "4", "depth": 3, "width": 64, "heads": 4, "bottleneck": 48,
        "context_canvases": 1,
    },
    "diffusion": {"time": {"text": "uniform", "image": "uniform"}, "t_eps": 0.4},
    "training": {"learning_rate": 1e-2, "warmup_steps": 50, "steps": 700, "decay": "cosine", "ema_decays": [0.98]},
    "sampling": {"steps": 10, "batch_size": 32},
}  # fmt: skip


def pixels(name: str) -> np.ndarray:
    return np.broadcast_to(np.array([LEVELS[letter] for letter in name], np.uint8), (8, 8, 3))


def name_of(canvas: np.ndarray) -> str:
    """Of the nearest colour that has one; the marker does not count."""
    mean = canvas.reshape(-1, 3)[1:].astype(float).mean(axis=0)
    return "".join(min(LEVELS, key=lambda letter: abs(LEVELS[letter] - value)) for value in mean)


@pytest.fixture(scope="module")
def held_out() -> list[str]:
    return [NAMES[number] for number in np.random.default_rng(0).permutation(len(NAMES))[:16]]


@pytest.fixture(scope="module")
def new_words() -> list[str]:
    return ["".join(word) for word in np.random.default_rng(2).choice(LETTERS, (32, WORD))]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_config, held_out, new_words) -> Denoiser:
    folder = tmp_path_factory.mktemp("pairs")
    for name in set(NAMES) - set(held_out):
        Image.fromarray(pixels(name)).save(folder / f"{name}.png")
        (folder / f"{name}.txt").write_text(name)
    words = {"".join(word) for word in np.random.default_rng(1).choice(LETTERS, (4000, WORD))} - set(new_words)
    lines = [json.dumps({"prompt": word, "answer": word[::-1]}) for word in sorted(words)]
    (folder / "words.jsonl").write_text("\n".join(lines))
    sources = [f"pairs:{folder}/words.jsonl", f"captions:{folder}", f"captions:{folder}?answer=text"]
    data = {"batch_size": 48, "sources": sources, "weights": [1.0, 1.0, 2.0]}
    data["workers"] = 1  # checks no annotations: of 33,600 rows they take longer than the rows
    config = tiny_config(**SECTIONS, data=data)
    codec, model, optimizer = (
        CanvasCodec(**config.codec_arguments()),
        make_model(config),
        make_optimizer(config.training),
    )
    state = jax.jit(lambda: init_state(config, model, optimizer))()
    step = jax.jit(  # compiled for speed: so many steps take longer than the compiler does
        make_train_step(config, codec, model, optimizer),
        donate_argnums=0,
        compiler_options={"xla_backend_optimization_level": 1},
    )
    with make_batches(config, codec) as batches:
        for _ in range(config.training.steps):
            batch = next(batches)
            state, _ = step(state, {name: field for name, field in batch.items() if name != "skipped"})
    (params,) = state.ema.values()
    mesh = make_mesh(MeshConfig())
    return Denoiser(config=config, codec=codec, step=700, model=model, params=params, mesh=mesh, text_share=0.75)


def answers(denoiser: Denoiser, modality: str, prompts: list) -> list[str]:
    """What a canvas says, or the name of its colour."""
    made = generate(denoiser, modality, len(prompts), context=make_context(denoiser, prompts))
    if modality == "image":
        assert (made.modality == IMAGE).all()
        return [name_of(canvas) for canvas in made.canvases]
    ids, _ = denoiser.codec.decode_ids(made.canvases)
    return [denoiser.codec.detokenize(row) for row in ids]


def share_right(given: list[str], wanted: list[str]) -> float:
    return float(np.mean([a == b for a, b in zip(given, wanted, strict=True)]))


def texts(denoiser: Denoiser, words: list[str]) -> list:
    return [read_prompt(denoiser, text=word) for word in words]


def test_new_words_are_answered_by_their_letters_reversed(trained, new_words):
    wanted = [word[::-1] for word in new_words]
    assert share_right(answers(trained, "text", texts(trained, new_words)), wanted) > 0.7  # chance: 26^-5


def test_new_names_are_answered_by_their_colour(trained, held_out):
    assert share_right(answers(trained, "image", texts(trained, held_out)), held_out) > 0.4  # chance: 1/64


def test_new_colours_are_answered_by_their_name(trained, held_out):
    pictures = [(Picture(pixels(name)),) for name in held_out]
    assert share_right(answers(trained, "text", pictures), held_out) > 0.4  # chance: 1/64


def test_without_a_prompt_the_same_weights_make_a_colour_of_their_own_choice(trained, held_out):
    """The context was hidden in a tenth of training."""
    made = generate(trained, "image", 16)
    spread = made.canvases.reshape(16, -1, 3)[:, 1:].astype(float).std(axis=1).mean()
    assert spread < 25  # each of one colour: two colours half and half would have 42 and more
    assert share_right([name_of(canvas) for canvas in made.canvases], held_out) < 0.2
