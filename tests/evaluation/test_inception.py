"""Distances by Inception features: what is kept of them, what is refused, and, where it is installed, the network."""

import fractions
import hashlib
import json
import pickle

import numpy as np
import pytest
from etils import epath

from pixjax.cli import main
from pixjax.errors import InputError
from pixjax.evaluation import external_networks
from pixjax.evaluation.inception import Inception, inception_metrics, load_inception
from pixjax.evaluation.result_cache import ResultCache
from pixjax.report.run import evaluate


def color_means(images: np.ndarray) -> np.ndarray:
    return images.mean(axis=(1, 2), dtype=np.float32)


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(b"weights")
    return path


def inject(monkeypatch, network) -> None:
    def load(path):
        return Inception(network=network, sha256=hashlib.sha256(path.read_bytes()).hexdigest())

    monkeypatch.setattr(external_networks, "load_inception", load)


def test_features_come_in_batches_in_order():
    seen, checks = [], []

    def network(images):
        seen.append(len(images))
        return color_means(images)

    images = np.random.default_rng(0).integers(0, 256, (120, 4, 4, 3), np.uint8)
    features = Inception(network=network, sha256="").features(images, check=lambda: checks.append(None))
    np.testing.assert_array_equal(features, color_means(images))
    assert seen == [50, 50, 20]
    assert len(checks) == 3


def distance_of_means(generated: np.ndarray, real: np.ndarray) -> float:
    """In the place of FID, which torch-fidelity has, as it is not always installed."""
    return float(np.linalg.norm(generated.mean(axis=0) - real.mean(axis=0)))


def difference_of_means(generated: np.ndarray, real: np.ndarray) -> tuple[float, float]:
    """In the place of KID and its deviation."""
    return float(np.sum(generated.mean(axis=0) - real.mean(axis=0))), float(len(generated))


def largest(generated: np.ndarray, real: np.ndarray, k: int) -> tuple[float, float]:
    """In the place of precision and recall."""
    return float(generated.max()) + k, float(real.max()) + k


@pytest.fixture
def stand_ins(monkeypatch):
    monkeypatch.setattr("pixjax.evaluation.inception.frechet_distance", distance_of_means)
    monkeypatch.setattr("pixjax.evaluation.inception.kernel_distance", difference_of_means)
    monkeypatch.setattr("pixjax.evaluation.inception.precision_recall", largest)


def test_each_figure_is_that_of_its_distance(stand_ins):
    ours, theirs = np.random.default_rng(0).standard_normal((2, 6, 3))
    found = inception_metrics(ours, theirs)
    assert found["fid"] == distance_of_means(ours, theirs)
    assert (found["kid"], found["kid_std"]) == difference_of_means(ours, theirs)
    assert (found["precision"], found["recall"]) == largest(ours, theirs, k=3)


@pytest.mark.usefixtures("stand_ins")
@pytest.mark.parametrize(
    ("count", "figures"),
    [(1, set()), (3, {"fid", "kid", "kid_std"}), (4, {"fid", "kid", "kid_std", "precision", "recall"})],
)
def test_what_there_are_too_few_images_for_is_left_out(count, figures):
    features = np.random.default_rng(0).standard_normal((9, 3))
    assert set(inception_metrics(features[:count], features)) == figures


def test_features_of_held_out_images_are_kept_and_figures_stand_in_the_report(
    workdir, evaluated_copy, weights, stand_ins, monkeypatch
):
    judged = []

    def network(images):
        judged.append(len(images))
        return color_means(images)

    inject(monkeypatch, network)
    out = evaluated_copy
    first = evaluate(workdir, out, inception=weights)
    quality = first["image"]["samples"]
    assert judged == [8, 4]
    assert quality["inception_images"] == {"samples": 4, "reference": 4, "draws": 5}
    assert quality["fid"] > 0 < quality["held_out"]["fid"]
    assert {"kid", "kid_std", "precision", "recall", "swd/mean"} <= quality.keys() & quality["held_out"].keys()
    with np.load(out / "parts" / "held_out_inception.npz") as kept:
        made = np.load(out / "parts" / "image_samples.npz")["canvases"]
        draws = [
            np.random.default_rng((0, draw)).permutation(8)[4:] for draw in range(5)
        ]  # what samples are compared to
        ours, sets = color_means(made), [kept["features"][others] for others in draws]
        assert quality["fid"] == pytest.approx(np.mean([distance_of_means(ours, theirs) for theirs in sets]))
        assert quality["kid"] == pytest.approx(np.mean([difference_of_means(ours, theirs)[0] for theirs in sets]))
        assert quality["recall"] == pytest.approx(np.mean([largest(ours, theirs, k=3)[1] for theirs in sets]))
    page = (out / "report.html").read_text()
    assert "by Inception features of 4 samples and 4 held-out images" in page
    assert f"{quality['fid']:.4g}" in page

    (out / "parts" / "image_inception.json").unlink()
    assert evaluate(workdir, out, inception=weights)["image"]["samples"] == quality
    assert judged == [8, 4, 4]  # the held-out images are known


def test_what_is_kept_of_some_weights_is_not_that_of_others(tmp_path):
    parts = ResultCache.of(epath.Path(tmp_path), seed=0)
    assert parts.also(weights="a").get("fid", lambda: 1) == 1
    assert parts.also(weights="a").get("fid", lambda: 2) == 1
    assert parts.also(weights="b").get("fid", lambda: 3) == 3
    assert ResultCache.of(epath.Path(tmp_path), seed=1).also(weights="b").get("fid", lambda: 4) == 4


def test_without_weights_one_note_says_so_and_a_library_that_fails_does_not_stop_the_rest(
    workdir, evaluated, evaluated_copy, weights, monkeypatch
):
    plain = json.loads((evaluated / "metrics.json").read_text())
    assert sum("FID, KID" in note and "--inception=FILE" in note for note in plain["notes"]) == 1

    def fail(path):
        raise InputError("no library")

    monkeypatch.setattr(external_networks, "load_inception", fail)
    metrics = evaluate(workdir, evaluated_copy, inception=weights)
    assert "no library" in metrics["notes"]
    assert metrics["image"]["samples"] == plain["image"]["samples"]
    assert "fid" not in metrics["image"]["samples"]


def test_a_path_that_leads_nowhere_is_refused_before_anything_is_done(workdir, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["evaluate", f"--workdir={workdir}", f"--out={out}", f"--inception={out / 'nowhere.pth'}"]) == 2
    error = capsys.readouterr().err
    assert f"--inception={out / 'nowhere.pth'} is not a file" in error
    assert error.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"fc.weight": [1.0]}, "something else than a dict of tensors"),
        (fractions.Fraction(1, 2), "is refused"),
        (None, "is refused"),
    ],
)
def test_files_of_other_contents_are_refused(torch, torch_fidelity, tmp_path, content, words):
    path = tmp_path / "weights.pth"
    path.write_bytes(b"nothing") if content is None else torch.save(content, path)
    with pytest.raises(InputError, match=words):
        load_inception(path)


def test_code_in_a_pickle_is_not_run(torch, torch_fidelity, tmp_path):
    class Hostile:
        def __reduce__(self):
            return (open, (str(tmp_path / "written"), "w"))

    path = tmp_path / "weights.pth"
    path.write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(InputError, match="is refused"):
        load_inception(path)
    assert not (tmp_path / "written").exists()


def test_the_network_has_the_weights_of_the_file(torch, torch_fidelity, tmp_path, monkeypatch):
    """Of random weights, against the library's own loading; a file of some of them is refused."""
    monkeypatch.setattr("torch_fidelity.feature_extractor_inceptionv3.load_state_dict_from_url", lambda *_, **__: {})
    monkeypatch.setattr(torch.nn.Module, "load_state_dict", lambda self, state: None)
    torch.manual_seed(0)
    extractors = torch_fidelity.feature_extractor_inceptionv3
    network = extractors.FeatureExtractorInceptionV3("inception", ["2048"])
    monkeypatch.undo()
    path = tmp_path / "weights.pth"
    torch.save(network.state_dict(), path)
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)
    inception = load_inception(path)
    (expected,) = network(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
    np.testing.assert_allclose(inception.features(images), expected.numpy(), rtol=1e-5)
    assert inception.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()

    torch.save({"fc.bias": network.fc.bias}, path)
    with pytest.raises(InputError, match="other weights than torch-fidelity's"):
        load_inception(path)
