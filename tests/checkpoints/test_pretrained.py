"""The model that comes with the package: whole, small, and as good as its card says."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pixjax
from pixjax.checkpoints.inspect import verify
from pixjax.checkpoints.run_files import find_workdir
from pixjax.cli import main
from pixjax.codec import TEXT, to_float
from pixjax.data.demo import demo_documents
from pixjax.diffusion import matched_filter, noisy

FOLDER = find_workdir("pretrained:small")


@pytest.fixture(scope="module")
def small():
    return pixjax.load("pretrained:small")


def test_it_is_whole_and_small_and_names_nothing_of_the_machine_that_made_it():
    assert not any(verify(FOLDER).values())
    assert 10e6 < sum(path.stat().length for path in walk(FOLDER)) < 20e6
    for path in walk(FOLDER):
        assert not re.search(rb'"/[a-z]{2,}/|https?:', path.read_bytes())  # an absolute path, an address


def walk(folder):
    for path in folder.iterdir():
        yield from walk(path) if path.is_dir() else (path,)


def test_it_reads_english_in_noise_where_the_colours_alone_do_not(small):
    """On text that it was not trained on: the documentation of Python."""
    codec = small.codec
    x = to_float(codec.encode(" ".join(demo_documents())[:4000])[:2])
    t = jnp.full(len(x), 0.6)
    z = noisy(x, jax.random.normal(jax.random.key(0), x.shape), t)
    by_model, by_colours = (small.denoise(z, t, modality=TEXT), jax.jit(matched_filter(codec, 1.0))(z, t))
    truth, by_model, by_colours = (codec.decode_ids(np.asarray(canvas))[0] for canvas in (x, by_model, by_colours))
    by_model, by_colours = np.mean(by_model == truth), np.mean(by_colours == truth)
    assert by_model > by_colours + 0.1
    assert by_model > 0.5


def test_it_knows_english_letter_by_letter(small):
    """Fewer bits for a sentence than for its letters in another order, and than 27 letters that are all alike."""
    sentence = "the cat had been sitting by the fire for the whole of the evening and would not be moved from it"
    shuffled = "".join(np.random.default_rng(0).permutation(list(sentence)))
    of_sentence, of_shuffled = (np.mean(bits) for bits in small.score([sentence, shuffled]))
    assert of_sentence < 2.2
    assert of_shuffled > np.log2(27) - 0.3


def test_it_is_sampled_and_evaluated_by_name(tmp_path, capsys):
    out = tmp_path / "samples"
    assert main(["sample", "--workdir=pretrained:small", "--modality=any", "--num=2", "--steps=2", f"--out={out}"]) == 0
    assert (out / "grid.png").exists()
    texts = "--validation=demo:text?part=train", "--test=demo:text?part=held_out"
    few = ["--num-canvases=2", "--num-times=1", "--num-samples=0", "--batch-size=2"]
    assert main(["evaluate", "--workdir=pretrained:small", f"--out={tmp_path}", *texts, *few]) == 0
    assert "only an average of the parameters is kept" in capsys.readouterr().err
