"""Every config that comes with the package is measured by `pixjax evaluate` without a flag, on what it never saw."""

import functools

import pytest
from shipped_configs import SHIPPED, config_named

from pixjax.codec import IMAGE, TEXT, CanvasCodec, Modality
from pixjax.config_file import load_config
from pixjax.data import text_share
from pixjax.data.demo import demo_documents
from pixjax.data.sources import modality_of, open_source
from pixjax.data.uri import SourceUri
from pixjax.evaluation.held_out import own_test, read_held_out


@functools.cache
def material(uri: str) -> frozenset[str]:
    """What a source of the demo consists of: its documents, or its photographs."""
    parsed = SourceUri.parse(uri)
    if modality_of(parsed) == TEXT:
        return frozenset(demo_documents(parsed.option("part", "all")))
    source = open_source(uri, canvas_size=16)
    return frozenset(source.name(record).partition(" view ")[0] for record in range(len(source)))


@pytest.mark.parametrize("name", SHIPPED)
def test_what_a_config_trains_on_is_tested_on_other_material_of_the_same_kind(name):
    config = config_named(name)
    share = text_share(config)
    kinds = {modality_of(SourceUri.parse(uri)) for uri in config.evaluation.test}
    assert kinds == {modality for modality, part in ((TEXT, share), (IMAGE, 1 - share)) if part}
    assert own_test(config) == config.evaluation.test
    for tested in config.evaluation.test:
        assert material(tested)
        for trained in config.data.sources:
            assert not material(tested) & material(trained)


def test_the_demo_finds_canvases_of_both_kinds_to_measure(tiny_config):
    demo = load_config("demo")
    config = tiny_config(data={"sources": demo.data.sources}, evaluation={"test": demo.evaluation.test, "canvases": 8})
    found = read_held_out(config, CanvasCodec(**config.codec_arguments()), frozenset((TEXT, IMAGE)))
    assert set(found.test) == {TEXT, IMAGE}
    assert not [note for note in found.notes if "held-out" in note]


def test_ones_own_data_is_not_measured_on_the_demo_and_the_flag_that_measures_it_is_named(tiny_config, tmp_path):
    (tmp_path / "a.txt").write_text("the cat sat on the mat " * 50)
    own = [f"text:{tmp_path}/*.txt", "demo:images"]
    config = tiny_config(data={"sources": own}, evaluation={"test": load_config("demo").evaluation.test})
    assert own_test(config) == ("demo:images?part=held_out",)
    config = tiny_config(data={"sources": own}, evaluation={"test": own_test(config), "canvases": 8})
    notes = read_held_out(config, CanvasCodec(**config.codec_arguments()), frozenset((TEXT, IMAGE))).notes
    [note] = [note for note in notes if note.startswith(f"no held-out {Modality.TEXT}")]
    assert "bits" in note
    assert "--test=text:held_out/*.txt" in note
    assert "\n" not in note
