"""Prompts and pages at sampling: what the model is given, what is refused, and what the command writes."""

import dataclasses
import json

import numpy as np
import pytest
from checked import generate
from etils import epath
from PIL import Image

from pixjax.checkpoints.load import load
from pixjax.cli import main
from pixjax.codec import IMAGE, TEXT, CanvasCodec
from pixjax.errors import InputError
from pixjax.sampling import prompts as prompts_module
from pixjax.sampling.generate import Generated
from pixjax.sampling.prompts import generate_pages, make_context, read_prompt
from pixjax.sampling.request import SampleRequest
from pixjax.sampling.sample import prepare
from pixjax.training.train import train

END = "|"  # stands for EOS here


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    Image.new("RGB", (40, 20), (10, 200, 30)).save(folder / "green.png")
    (folder / "broken.png").write_bytes(b"broken")
    return folder


@pytest.fixture(scope="module")
def workdir(tmp_path_factory, tiny_config):
    """A model of two canvases of context that has seen pages, and an update that makes every layer count."""
    folder = epath.Path(tmp_path_factory.mktemp("run"))
    sections = {
        "model": {"canvas_size": 8, "depth": 1, "context_canvases": 2},
        "data": {"batch_size": 8, "context_pages": 1},
        "codec": {"tokenizer": "bytes", "code": "radix:auto:1", "normalize": False},
        "training": {"steps": 3, "checkpoint_every": 3, "ema_decays": [0.0], "learning_rate": 0.1, "warmup_steps": 0},
    }
    train(tiny_config(**sections), folder)
    return folder


@pytest.fixture(scope="module")
def denoiser(workdir):
    return load(workdir)


def test_a_prompt_of_which_most_is_lost_is_refused_and_less_is_told(denoiser, caplog):
    letters = CanvasCodec("chars27", "radix:3:1", canvas_size=8, normalize=True)
    reader = dataclasses.replace(denoiser, codec=letters)
    with pytest.raises(InputError, match=r"--prompt: all of 2 characters .* trained with codec.tokenizer=bytes"):
        read_prompt(reader, text="漢字")
    with pytest.raises(InputError, match="--prompt is blank"):
        read_prompt(reader, text="  ")
    assert len(read_prompt(reader, text="hello!")[0]) == 5
    assert "--prompt: 16.7 % of 6 characters are lost to the tokenizer (!)" in caplog.text


def test_a_prompt_is_painted_as_training_paints_one(denoiser, files):
    codec = denoiser.codec
    prompt = read_prompt(denoiser, text="hello", image=str(files / "green.png"))
    context = make_context(denoiser, [prompt, ()])
    assert context.present.tolist() == [[True, True], [False, False]]
    assert context.modality.tolist() == [[IMAGE, TEXT], [-1, -1]]
    levels = np.rint((np.asarray(context.canvases) + 1) * 127.5).astype(np.uint8)
    assert codec.decode(levels[0, 1]).text == "hello"
    assert levels[0, 0, 4, 4].tolist() == [10, 200, 30]
    assert (levels[0, 0, 0, 0] == 255).all()


def test_a_context_has_as_many_canvases_as_are_needed(denoiser):
    one, two = (make_context(denoiser, [read_prompt(denoiser, text="x" * length)] * 3) for length in (63, 64))
    assert (one.canvases.shape[:2], two.canvases.shape[:2]) == ((3, 1), (3, 2))
    assert make_context(denoiser, [read_prompt(denoiser, text="")] * 3) is None
    assert make_context(denoiser, [()]) is None


def test_a_sample_depends_on_its_own_prompt_and_on_nothing_else(denoiser):
    prompts = [read_prompt(denoiser, text=text) for text in ("a", "b", "a", "c", "d")]
    together = generate(denoiser, "text", 5, context=make_context(denoiser, prompts), steps=2)
    alone = generate(denoiser, "text", 2, context=make_context(denoiser, prompts[:2]), steps=2)
    np.testing.assert_allclose(together.x[:2], alone.x, atol=1e-4)
    other = generate(denoiser, "text", 2, context=make_context(denoiser, prompts[1:3]), steps=2)
    assert np.abs(other.x - alone.x).reshape(2, -1).max(axis=1).min() > 1e-3


def test_each_page_is_given_what_comes_before_it(denoiser, monkeypatch):
    """Pages that say what they are, in place of sampled ones."""
    codec, asked = denoiser.codec, []
    words = [["first" + "." * 58, "second"], ["third" + END + "." * 57, "fourth"], ["", ""]]

    def canned(denoiser, wanted, num, *, seed, context, **_):
        asked.append((seed, context))
        ids = np.full((num, codec.capacity), codec.pad_id, np.int32)
        for row, text in enumerate(words[len(asked) - 1]):
            tokens = codec.tokenize(text)
            ids[row, : len(tokens)] = np.where(tokens == ord(END), codec.eos_id, tokens)
        canvases = codec.encode_ids(ids)
        x = canvases / 127.5 - 1
        none = {"frames": np.zeros((num, 0, *x.shape[1:])), "frame_times": np.zeros((num, 0))}
        return Generated(x=x, canvases=canvases, modality=np.zeros(num, int), modality_margin=np.ones(num), **none)

    monkeypatch.setattr(prompts_module, "generate", canned)
    prompt, settings = read_prompt(denoiser, text="once"), denoiser.config.sampling
    generate_pages(denoiser, 2, 3, settings=settings, prompt=prompt, seed=5)

    def said(context, row):
        levels = np.rint((np.asarray(context.canvases[row]) + 1) * 127.5).astype(np.uint8)
        return [codec.decode(page).text for page in levels[np.asarray(context.present[row])]]

    assert [said(context, 0) for _, context in asked] == [["once"], ["first" + "." * 58], ["." * 57]]
    assert [said(context, 1) for _, context in asked] == [["once"], ["oncesecond"], ["oncesecondfourth"]]
    assert asked[0][0] == 5
    assert len({seed for seed, _ in asked}) == 3
    assert {context.canvases.shape for _, context in asked} == {asked[0][1].canvases.shape}


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (
            {"text": "x" * 127},
            r"--prompt has 127 tokens.*of this model holds 126 \(63 a canvas, model.context_canvases=2\): shorten it$",
        ),
        (
            {"text": "x" * 64, "image": "green.png"},
            "holds 63 .63 a canvas, .*, less one for --prompt-image.: shorten it, or leave one of the two out$",
        ),
        ({"text": "\ud800"}, "--prompt: the text has a lone surrogate"),
        ({"image": "none.png"}, "--prompt-image=.*none.png cannot be read .No such file or directory.: check the path"),
        ({"image": "broken.png"}, "--prompt-image=.*broken.png is no picture that can be used .unreadable"),
    ],
)
def test_a_prompt_that_cannot_be_given_is_refused_in_one_line(denoiser, files, prompt, message):
    if "image" in prompt:
        prompt = prompt | {"image": str(files / prompt["image"])}
    with pytest.raises(InputError, match=message) as caught:
        read_prompt(denoiser, **prompt)
    assert "\n" not in str(caught.value)


def test_a_text_beside_a_picture_that_fills_the_context_is_refused(denoiser, files):
    model = dataclasses.replace(denoiser.config.model, context_canvases=1)
    one = dataclasses.replace(denoiser, config=dataclasses.replace(denoiser.config, model=model))
    with pytest.raises(InputError, match=r"has 1 token, and .* holds 0 .*: leave one of the two out$"):
        read_prompt(one, text="x", image=str(files / "green.png"))


def test_a_checkpoint_without_context_takes_no_prompt(denoiser, files):
    model = dataclasses.replace(denoiser.config.model, context_canvases=0)
    data = dataclasses.replace(denoiser.config.data, context_pages=0)
    plain = dataclasses.replace(denoiser, config=dataclasses.replace(denoiser.config, model=model, data=data))
    for prompt, name in (({"text": "x"}, "--prompt"), ({"image": str(files / "green.png")}, "--prompt-image")):
        with pytest.raises(InputError, match=f"{name}: this model was trained without context"):
            read_prompt(plain, **prompt)
    assert read_prompt(plain) == ()
    with pytest.raises(InputError, match="--pages: this model was not trained to go on from the page before"):
        prepare(plain, SampleRequest(modality="text", pages=2))


def run(capsys, *arguments):
    code = main(["sample", *map(str, arguments)])
    return code, *capsys.readouterr()


def test_prompts_and_pages_on_the_command_line(workdir, files, tmp_path, capsys):
    common = (f"--workdir={workdir}", f"--out={tmp_path}", "--steps=2")
    assert run(capsys, *common, "--modality=text", f"--prompt-image={files}/green.png", "--num=2")[0] == 0
    assert run(capsys, *common, "--modality=image", "--prompt=a green one", "--num=2")[0] == 0
    assert len(list((tmp_path / "images").iterdir())) == 2
    code, printed, _ = run(capsys, *common, "--modality=text", "--prompt=once", "--pages=3", "--num=2")
    assert (code, "6 canvases: 2 text" in printed) == (0, True)
    rows = [json.loads(line) for line in (tmp_path / "text.jsonl").read_text().splitlines()]
    assert [(row["index"], row["pages"], len(row["token_ids"])) for row in rows] == [(0, 3, 189), (1, 3, 189)]
    names = sorted(path.name for path in (tmp_path / "canvases").iterdir())
    assert names == [f"{index:04}-{page}.png" for index in range(2) for page in (1, 2, 3)]
    assert not list((tmp_path / "images").iterdir())  # those of before
    canvases = np.stack([np.asarray(Image.open(tmp_path / "canvases" / name)) for name in names[:3]])
    assert CanvasCodec.load(workdir / "codec").decode_ids(canvases)[0].reshape(-1).tolist() == rows[0]["token_ids"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pages=0"], "--pages=0 has to be 1 or more"),
        (["--pages=2"], "--pages=2 is for text: add --modality=text"),
        (["--pages=2", "--modality=text", "--infill=a _"], "--pages=2 goes with neither --infill nor --trajectory"),
        (["--prompt=" + "x" * 200], "--prompt has 200 tokens"),
    ],
)
def test_wrong_use_is_one_line_and_writes_nothing(workdir, tmp_path, capsys, arguments, message):
    code, _, error = run(capsys, f"--workdir={workdir}", f"--out={tmp_path}/out", *arguments)
    assert code == 2
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
