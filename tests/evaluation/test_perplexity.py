"""Perplexity: of models whose probabilities are known, and, where it is installed, under one of Hugging Face format."""

import math

import pytest

from pixjax.cli import main
from pixjax.errors import InputError
from pixjax.evaluation import judges
from pixjax.evaluation.perplexity import LanguageModel, load_language_model, perplexity
from pixjax.report.run import evaluate

LETTERS = "abcdefghijklmnopqrstuvwxyz "
# A token for two characters, each with a probability of 1 / 16.
PAIRS = LanguageModel(log_likelihood=lambda text: (-math.log(16) * (len(text) // 2), len(text) // 2), sha256="pairs")


def test_a_uniform_model_is_as_perplexed_as_it_has_tokens():
    metrics = perplexity(PAIRS, ["abcd", "", "ab"], "x" * 20)
    assert metrics == pytest.approx(
        {
            "perplexity": 16,
            "held_out/perplexity": 16,
            "language_model_bits_per_char": 2,
            "held_out/language_model_bits_per_char": 2,
        }
    )


def test_tokens_count_alike_in_long_and_short_texts():
    def log_likelihood(text):
        return -sum(math.log(2) if c == "a" else math.log(32) for c in text), len(text)

    metrics = perplexity(LanguageModel(log_likelihood=log_likelihood, sha256=""), ["a" * 6, "bb"], "b" * 8)
    assert metrics["perplexity"] == pytest.approx(2 ** ((6 * 1 + 2 * 5) / 8))
    assert metrics["language_model_bits_per_char"] == pytest.approx(2)
    assert metrics["held_out/perplexity"] == pytest.approx(32)


def test_samples_without_text_have_none():
    assert perplexity(PAIRS, ["", ""], "held out") == {}


def test_it_stands_beside_the_entropy_and_is_kept(workdir, evaluated_copy, tmp_path, monkeypatch):
    judged = []

    def log_likelihood(text):
        judged.append(text)
        return PAIRS.log_likelihood(text)

    model = LanguageModel(log_likelihood=log_likelihood, sha256="pairs")
    monkeypatch.setattr(judges, "load_language_model", lambda folder: model)
    (tmp_path / "config.json").write_text("{}")
    out = evaluated_copy
    quality = evaluate(workdir, out, language_model=tmp_path)["text"]["samples"]
    assert quality["perplexity"] == pytest.approx(16)
    names = list(quality)
    assert names[:4] == [
        "perplexity", "language_model_bits_per_char", "held_out/perplexity", "held_out/language_model_bits_per_char",
    ]  # fmt: skip
    assert names[4:6] == ["unigram_entropy", "held_out/unigram_entropy"]
    assert len(judged) == 8  # four samples, and four pieces of held-out text
    assert [len(text) for text in judged[:4]] == [len(text) for text in judged[4:]]
    assert "language_model_bits_per_char" in (out / "report.html").read_text()
    assert evaluate(workdir, out, language_model=tmp_path)["text"]["samples"] == quality
    assert len(judged) == 8


def test_a_path_that_leads_nowhere_is_refused_before_anything_is_done(workdir, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["evaluate", f"--workdir={workdir}", f"--out={out}", f"--language-model={tmp_path}"]) == 2
    error = capsys.readouterr().err
    assert "is not a folder with a config.json" in error
    assert error.count("\n") == 1
    assert not out.exists()


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


@pytest.fixture(scope="module")
def folder(torch, tmp_path_factory):
    """A random GPT-2 of two layers with a context of 16 letters."""
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder = tmp_path_factory.mktemp("model")
    vocabulary = {letter: i for i, letter in enumerate([*LETTERS, "<unk>", "<end>"])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", unk_token="<unk>")
    fast.save_pretrained(folder)
    config = transformers.GPT2Config(
        vocab_size=len(vocabulary), n_positions=16, n_embd=16, n_layer=2, n_head=2,
        bos_token_id=vocabulary["<end>"], eos_token_id=vocabulary["<end>"], initializer_range=0.5,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.GPT2LMHeadModel(config).save_pretrained(folder, safe_serialization=True)
    return folder


def test_every_letter_is_predicted_once_from_what_is_before_it(torch, folder):
    """By one forward pass a letter: from all before it in the first context, then from windows moved by half of it."""
    from transformers import GPT2LMHeadModel

    text = "the quick brown fox jumps over the lazy dog"
    model = GPT2LMHeadModel.from_pretrained(folder).eval()
    ids = [LETTERS.index(c) for c in text]
    ids = [len(LETTERS) + 1, *ids]
    expected = 0.0
    for i in range(1, len(ids)):
        start = 0 if i < 16 else (i - 16) // 8 * 8 + 8
        with torch.no_grad():
            logits = model(torch.tensor([ids[start:i]])).logits[0, -1]
        expected += float(torch.log_softmax(logits, -1)[ids[i]])
    log_likelihood, tokens = load_language_model(folder).log_likelihood(text)
    assert tokens == len(text)
    assert log_likelihood == pytest.approx(expected, rel=1e-4)


def test_probabilities_of_all_texts_of_a_length_sum_to_those_without_the_unknown_and_the_end(folder):
    model = load_language_model(folder)
    total = sum(math.exp(model.log_likelihood(letter)[0]) for letter in LETTERS)
    total += math.exp(model.log_likelihood("?")[0]) + math.exp(model.log_likelihood("<end>")[0])
    assert total == pytest.approx(1, rel=1e-4)


def test_a_lone_surrogate_is_an_unknown_letter(folder):
    model = load_language_model(folder)
    assert model.log_likelihood("a\ud800b") == model.log_likelihood("a?b")


def test_the_hash_is_of_the_files(folder, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    assert load_language_model(copy).sha256 == load_language_model(folder).sha256
    (copy / "more.json").write_text("{}")
    assert load_language_model(copy).sha256 != load_language_model(folder).sha256


def test_pickled_weights_and_code_are_refused(torch, folder, tmp_path):
    import json
    import shutil

    pickled = tmp_path / "pickled"
    shutil.copytree(folder, pickled)
    (pickled / "model.safetensors").unlink()
    torch.save({}, pickled / "pytorch_model.bin")
    with pytest.raises(InputError, match="does not load as a causal language model in safetensors"):
        load_language_model(pickled)

    coded = tmp_path / "coded"
    shutil.copytree(folder, coded)
    config = json.loads((coded / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.C", "AutoModelForCausalLM": "own.M"}}
    (coded / "config.json").write_text(json.dumps(config))
    (coded / "own.py").write_text(f"open({str(tmp_path / 'written')!r}, 'w')")
    with pytest.raises(InputError, match="does not load"):
        load_language_model(coded)
    assert not (tmp_path / "written").exists()
