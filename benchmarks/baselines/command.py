"""The shared course of both baselines: reading, training, measuring, and the JSON file that comes of it."""

import argparse
import dataclasses
import json
import os
import pathlib
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer

from benchmarks.baselines.fit import Examples, Recipe, fit, mean_and_stderr, measure
from benchmarks.baselines.letters import count_characters, cut_windows, read_stream, training_batches
from benchmarks.baselines.transformer import Shape, Transformer, compute_dtype
from pixjax.codec import CanvasCodec
from pixjax.config import MAX_SEED, MeshConfig
from pixjax.errors import InputError, RunError
from pixjax.runtime import set_up
from pixjax.training.mesh import batch_sharding, make_mesh, replicated

Predict = Callable[[Integer[Array, "batch tokens"]], Float[Array, "batch tokens vocab"]]  # ids to logits


@dataclasses.dataclass(frozen=True, kw_only=True)
class Baseline:
    """What one baseline is beside the transformer.

    loss: (predict, blank, ids, key) to nats a token.
    score: (predict, blank, **arrays of an example) to nats, of each.
    validation_examples: windows to what is scored in the course of training.
    test_examples: (windows, ids, args) to what is scored at the end: `windows`, the headline, and others by name.
    """

    name: str
    module: str
    description: str
    causal: bool
    loss: Callable[..., Float[Array, ""]]
    score: Callable[..., Float[Array, " batch"]]
    validation_examples: Callable[[np.ndarray], Examples]
    test_examples: Callable[[np.ndarray, np.ndarray, argparse.Namespace], dict[str, Examples]]
    add_arguments: Callable[[argparse.ArgumentParser], None]
    check: Callable[[argparse.Namespace], None]


def make_parser(baseline: Baseline) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m {baseline.module}",
        description=baseline.description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    group = parser.add_argument_group("text: .txt or .jsonl files, gzipped or not")
    group.add_argument("--text", required=True, metavar="GLOB", help="to train on")
    group.add_argument("--validation", required=True, metavar="GLOB", help="chooses the step that is measured")
    group.add_argument("--test", required=True, metavar="GLOB", help="is measured")
    group.add_argument("--tokenizer", default="chars27", help="bytes, chars27, FILE.json, FILE.model, a folder")
    group.add_argument("--normalize", action="store_true", help="let the tokenizer rewrite the text")
    group.add_argument(
        "--length", type=int, default=256, help="tokens of a window, as many as a canvas has cells (256)"
    )
    group.add_argument("--validation-tokens", type=int, default=65_536, metavar="N", help="the first N (65536; 0: all)")
    group.add_argument("--test-tokens", type=int, default=0, metavar="N", help="the first N (0: all)")
    group = parser.add_argument_group("model")
    group.add_argument("--width", type=int, default=192)
    group.add_argument("--depth", type=int, default=6)
    group.add_argument("--heads", type=int, default=6)
    group.add_argument("--dropout", type=float, default=0.0)
    group.add_argument("--attention", choices=("auto", "xla", "cudnn", "heads_first"), default="auto")
    group = parser.add_argument_group("training")
    size = group.add_mutually_exclusive_group(required=True)
    size.add_argument("--steps", type=int, default=0)
    size.add_argument("--characters", type=int, default=0, metavar="N", help="stop after so many, repeats counted")
    group.add_argument("--batch-size", type=int, default=32, help="windows of a step (32)")
    group.add_argument(
        "--optimizer", choices=("adamw", "muon"), default="adamw", help="muon: for matrices of the blocks"
    )
    group.add_argument("--learning-rate", type=float, default=2e-3)
    group.add_argument("--warmup-steps", type=int, default=-1, metavar="N", help="a twentieth of the steps")
    group.add_argument("--weight-decay", type=float, default=0.1)
    group.add_argument("--validations", type=int, default=10, metavar="N", help="over the run (10)")
    group.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", required=True, metavar="FILE.json")
    baseline.add_arguments(parser)
    return parser


def run(baseline: Baseline, arguments: Sequence[str] | None = None) -> int:
    """The command. Exit code 0, 1 (failed) or 2 (wrong input), as those of pixjax."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    args = make_parser(baseline).parse_args(arguments)
    try:
        set_up()
        check(baseline, args)
        result = train_and_measure(baseline, args)
        write_result(args.out, result | {"command": f"python -m {baseline.module} {shlex.join(arguments)}"})
        print(f"{result['bits_per_char']:.4f} ± {result['bits_per_char_stderr']:.4f} bits per character, in {args.out}")
    except (InputError, RunError) as error:
        print(f"{baseline.module}: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    except KeyboardInterrupt:
        print(f"{baseline.module}: interrupted", file=sys.stderr)
        return 130
    return 0


def write_result(path: str, result: dict[str, Any]) -> None:
    """Beside the file and then in its place. Raises `RunError` where that fails, the result on stdout."""
    text = json.dumps(result, indent=2)
    new = pathlib.Path(f"{path}.new")
    try:
        new.write_text(f"{text}\n")
        new.replace(path)
    except OSError as error:
        print(text)
        raise RunError(f"{path} cannot be written ({error}): what it would hold is on stdout") from None


def check(baseline: Baseline, args: argparse.Namespace) -> None:
    """Raises `InputError` for arguments that cannot be meant, before anything is read."""
    least = {"length": 1, "width": 1, "depth": 1, "heads": 1, "batch_size": 1, "validations": 1}
    least |= {"steps": 0, "characters": 0, "validation_tokens": 0, "test_tokens": 0, "warmup_steps": -1, "seed": 0}
    for name, limit in least.items():
        if getattr(args, name) < limit:
            raise InputError(f"--{name.replace('_', '-')}={getattr(args, name)} has to be {limit} or more")
    if not args.steps and not args.characters:
        raise InputError("--steps=0 --characters=0 train nothing: give one of them, 1 or more")
    if args.seed > MAX_SEED:
        raise InputError(f"--seed={args.seed} has to be at most {MAX_SEED}")
    if not 0 < args.learning_rate < 1:
        raise InputError(f"--learning-rate={args.learning_rate} has to be between 0 and 1")
    if not 0 <= args.weight_decay <= 10:
        raise InputError(f"--weight-decay={args.weight_decay} has to be between 0 and 10")
    if not 0 <= args.dropout < 1:
        raise InputError(f"--dropout={args.dropout} has to be in [0, 1)")
    if args.width % (2 * args.heads):
        raise InputError(
            f"--heads={args.heads} does not divide --width={args.width} into heads of even width: "
            f"choose a multiple of {2 * args.heads}"
        )
    if args.batch_size % jax.device_count():
        raise InputError(
            f"--batch-size={args.batch_size} does not divide over {jax.device_count()} devices: choose a multiple"
        )
    folder = pathlib.Path(args.out).resolve().parent
    if not folder.is_dir():
        raise InputError(f"--out={args.out}: there is no folder {folder}: make it first")
    if pathlib.Path(args.out).is_dir():
        raise InputError(f"--out={args.out} is a folder: give the name of a file")
    baseline.check(args)


def train_and_measure(baseline: Baseline, args: argparse.Namespace) -> dict[str, Any]:
    """The figures of one baseline as JSON values. Progress goes to stderr.

    Raises:
      InputError: a text that is missing, too short, or not of this tokenizer.
      RunError: the loss did not stay finite.
    """
    codec = CanvasCodec(tokenizer=args.tokenizer, normalize=args.normalize)
    training = read_stream(args.text, codec, "--text")
    cut_windows(training, args.length, "--text")
    validation = read_stream(args.validation, codec, "--validation")[: args.validation_tokens or None]
    test = read_stream(args.test, codec, "--test")[: args.test_tokens or None]
    validation_windows = cut_windows(validation, args.length, "--validation")
    test_windows = cut_windows(test, args.length, "--test")

    mesh = make_mesh(MeshConfig())
    shape = Shape(
        vocab_size=codec.vocab_size,
        length=args.length,
        width=args.width,
        depth=args.depth,
        heads=args.heads,
        causal=baseline.causal,
        dropout=args.dropout,
        attention=args.attention,
        dtype=compute_dtype(),
    )
    characters_per_token = count_characters(codec, training) / len(training)
    characters_per_step = args.batch_size * args.length * characters_per_token
    steps = args.steps or max(1, round(args.characters / characters_per_step))
    recipe = Recipe(
        steps=steps,
        batch_size=args.batch_size,
        optimizer=args.optimizer,
        learning_rate=args.learning_rate,
        warmup_steps=args.warmup_steps if args.warmup_steps >= 0 else steps // 20,
        weight_decay=args.weight_decay,
        validations=args.validations,
        seed=args.seed,
    )
    init, loss, score = bind(baseline, shape)
    score = jax.jit(score, in_shardings=(replicated(mesh), batch_sharding(mesh)), out_shardings=replicated(mesh))

    def bits(params, examples: Examples, text: np.ndarray) -> tuple[float, float]:
        """Bits a character and their standard error."""
        tokens_per_character = len(text) / count_characters(codec, text)
        return mean_and_stderr(measure(score, params, examples, args.batch_size, mesh) * tokens_per_character)

    to_validate = baseline.validation_examples(validation_windows)
    shapes = jax.eval_shape(init, jax.random.key(0))
    parameters = sum(x.size for x in jax.tree.leaves(shapes))
    print(f"{baseline.name}: {parameters:,} parameters on {_hardware()}, {steps} steps", file=sys.stderr, flush=True)
    fitted = fit(
        loss,
        init,
        training_batches(training, length=args.length, batch_size=args.batch_size, seed=args.seed),
        recipe,
        mesh,
        lambda params: bits(params, to_validate, validation_windows.reshape(-1))[0],
        lambda line: print(line, file=sys.stderr, flush=True),
    )
    figures = {}
    for name, examples in baseline.test_examples(test_windows, test, args).items():
        mean, stderr = bits(fitted.params, examples, test_windows.reshape(-1))
        figures[name] = {"bits_per_char": mean, "bits_per_char_stderr": stderr}
    return {
        "name": baseline.name,
        **figures.pop("windows"),
        **figures,
        "test_characters": count_characters(codec, test_windows.reshape(-1)),
        "validation_curve": [list(point) for point in fitted.validation_curve],
        "best_step": fitted.step,
        "parameters": parameters,
        "steps": steps,
        "training_characters": round(steps * characters_per_step),
        "optimizer": recipe.optimizer,
        "learning_rate": recipe.learning_rate,
        "training_flops": steps
        * (args.batch_size * args.length * shape.training_flops + recipe.optimizer_flops(shapes)),
        "seconds": round(fitted.seconds, 1),
        "hardware": _hardware(),
        "length": args.length,
        "seed": args.seed,
    }


def bind(baseline: Baseline, shape: Shape):
    """The baseline as pure functions of the parameters of a transformer: init, loss and score, for `fit.py`."""
    model = Transformer(shape)

    def init(key: jax.Array):
        return model.init(key, jnp.zeros((1, shape.length), jnp.int32))["params"]

    def loss(params, ids: Array, key: jax.Array) -> Array:
        own_key, dropout_key = jax.random.split(key)

        def predict(ids):
            return model.apply({"params": params}, ids, deterministic=False, rngs={"dropout": dropout_key})

        return baseline.loss(predict, shape.blank, ids, own_key)

    def score(params, example: dict[str, Array]) -> Array:
        return baseline.score(lambda ids: model.apply({"params": params}, ids), shape.blank, **example)

    return init, loss, score


def _hardware() -> str:
    kind = jax.devices()[0].device_kind
    return f"{jax.device_count()} x {kind}" + (f", {os.cpu_count()} cores" if kind == "cpu" else "")
