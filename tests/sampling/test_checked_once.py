"""A request is checked against the model once, whoever makes it, and what is refused costs nothing."""

import pytest

import pixjax
from pixjax.checkpoints.load import load
from pixjax.cli import main
from pixjax.errors import InputError
from pixjax.sampling import checks
from pixjax.sampling.request import SampleRequest
from pixjax.ui.film import make_film

GUIDED = "--guidance=2.0 needs a condition, and this model has none"


@pytest.fixture
def checked(monkeypatch):
    """A list that grows by each check of a request against a model, wherever it is called from."""
    found, possible_blocks = [], checks._possible_blocks

    def count(denoiser, modality, *rest):
        found.append(modality)
        return possible_blocks(denoiser, modality, *rest)

    monkeypatch.setattr(checks, "_possible_blocks", count)
    return found


def command(workdir, out, **changes) -> None:
    flags = [f"--{name}={value}" for name, value in changes.items()]
    code = main(["sample", f"--workdir={workdir}", f"--out={out}", "--modality=text", "--num=1", "--steps=1", *flags])
    assert code == (2 if changes else 0)


def python(workdir, out, **changes) -> None:
    pixjax.sample(load(workdir), "text", 1, steps=1, **changes)


def page(workdir, out, **changes) -> None:
    make_film(load(workdir), SampleRequest(modality="text", steps=1, **changes))


ENTRIES = pytest.mark.parametrize("entry", [command, python, page])


@ENTRIES
def test_a_request_is_checked_once(entry, workdir, checked, tmp_path):
    entry(workdir, tmp_path / "out")
    assert checked == ["text"]


@ENTRIES
def test_what_is_refused_is_the_same_sentence_before_anything_is_computed_or_written(
    entry, workdir, checked, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("pixjax.sampling.sample.generate", lambda *_, **__: pytest.fail("it was computed"))
    if entry is command:
        command(workdir, tmp_path / "out", guidance=2.0)
        said = capsys.readouterr().err
        assert said.count("\n") == 1
    else:
        with pytest.raises(InputError) as caught:
            entry(workdir, tmp_path / "out", guidance=2.0)
        said = str(caught.value)
    assert GUIDED in said
    assert checked == ["text"]
    assert not (tmp_path / "out").exists()
