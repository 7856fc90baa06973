"""What stands on the canvases of a context, and that it is a function of the seed and the step alone."""

import json

import numpy as np
import pytest
from PIL import Image

from pixjax.codec import IMAGE, TEXT, CanvasCodec
from pixjax.config import CodecConfig, Config, DataConfig, ModelConfig, TrainingConfig
from pixjax.data import CONTEXT_FIELDS, make_batches
from pixjax.data.batch_plan import make_plan
from pixjax.data.preview import contact_sheet, make_preview
from pixjax.errors import InputError

COLORS = {"red": (200, 10, 10), "green": (10, 200, 10), "blue": (10, 10, 200)}
BOOK = "".join(f"line {number} of the book\n" for number in range(60))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("context")
    (folder / "set").mkdir()
    for name, color in COLORS.items():
        Image.new("RGB", (24, 16), color).save(folder / "set" / f"{name}.png")
        (folder / "set" / f"{name}.txt").write_text(f"{name}\na {name} one")
    (folder / "set" / "broken.png").write_bytes(b"broken")
    (folder / "set" / "broken.txt").write_text("nothing")
    words = ("stone", "water", "a rather longer one")
    lines = [{"prompt": word, "answer": word[::-1]} for word in words]
    lines.append({"prompt": [{"image": "set/red.png"}, "darker", "x" * 600], "answer": "y" * 400})
    (folder / "pairs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "book.txt").write_text(BOOK)
    (folder / "short.txt").write_text("another document")
    return folder


def make_config(folder, *sources, canvases=2, pages=0, workers=0, marker=True, **data):
    uris = tuple(uri.format(folder) for uri in sources) or (
        f"pairs:{folder}/pairs.jsonl",
        f"captions:{folder}/set",
        f"captions:{folder}/set?answer=text",
        f"text:{folder}/*.txt",
    )
    return Config(
        model=ModelConfig(canvas_size=16, context_canvases=canvases, tagging="marker" if marker else "none"),
        codec=CodecConfig(layout="patch", marker=marker),
        data=DataConfig(
            sources=uris, workers=workers, context_pages=pages, **{"batch_size": 24, "max_bad_fraction": 0.5, **data}
        ),
        training=TrainingConfig(seed=3),
    )


def take(config, steps, **options):
    with make_batches(config, CanvasCodec(**config.codec_arguments()), **options) as batches:
        return [next(batches) for _ in range(steps)]


def same(first, second):
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


def test_a_config_without_context_has_no_fields_for_it(folder):
    config = make_config(folder, "captions:{}/set", canvases=0)
    batch, *_ = take(config, 1)
    assert set(batch) == {"canvas", "modality", "label", "loss_mask", "skipped"}
    with_context, *_ = take(make_config(folder, "captions:{}/set", canvases=1), 1)
    assert set(with_context) - set(batch) == set(CONTEXT_FIELDS)
    np.testing.assert_array_equal(with_context["canvas"], batch["canvas"])  # the same pictures, cut alike


def test_context_fields_have_the_promised_shapes(folder):
    batch, *_ = take(make_config(folder, pages=1), 1)
    assert {name: (batch[name].dtype.name, batch[name].shape) for name in CONTEXT_FIELDS} == {
        "context": ("uint8", (24, 2, 16, 16, 3)),
        "context_present": ("bool", (24, 2)),
        "context_modality": ("int32", (24, 2)),
    }
    np.testing.assert_array_equal(batch["context_present"], batch["context_modality"] >= 0)
    assert (batch["context"][~batch["context_present"]] == 0).all()


@pytest.mark.parametrize("marker", [True, False])
def test_captions_and_pictures_answer_each_other(folder, marker):
    config = make_config(folder, "captions:{}/set", "captions:{}/set?answer=text", marker=marker)
    codec = CanvasCodec(**config.codec_arguments())
    seen = set()
    for batch in take(config, 3):
        for row in range(24):
            assert batch["context_present"][row].tolist() == [True, False]
            answer, prompt = batch["canvas"][row], batch["context"][row, 0]
            is_text = batch["modality"][row] == TEXT
            assert batch["context_modality"][row, 0] == (IMAGE if is_text else TEXT)
            picture, words = (prompt, answer) if is_text else (answer, prompt)
            said = codec.detokenize(codec.decode_ids(words)[0]).strip()
            seen.add((said, bool(is_text)))
            name = said.removeprefix("a ").removesuffix(" one")
            np.testing.assert_array_equal(picture[8, 8], COLORS[name])
            if marker:
                assert (picture[0, 0] == 255).all()
                assert (words[0, 0] == 0).all()
    assert len(seen) == 12  # each caption, in each direction; and never the broken picture


def test_the_share_of_each_direction_is_that_of_its_source(folder):
    config = make_config(folder, "captions:{}/set", "captions:{}/set?answer=text", weights=(3.0, 1.0))
    batch, *_ = take(config, 1)
    assert np.bincount(batch["modality"]).tolist() == [6, 18]


def test_an_answer_ends_and_what_follows_it_counts_as_much_as_it_has_cells(folder):
    config = make_config(folder, "pairs:{}/pairs.jsonl", canvases=4)
    codec = CanvasCodec(**config.codec_arguments())
    counted_pad = {}
    for batch in take(config, 12):
        for row in range(24):
            ids, _ = codec.decode_ids(batch["canvas"][row])
            mask = batch["loss_mask"][row].reshape(-1)[codec.cell_index[:, 0]]
            text = codec.detokenize(ids)
            if text.startswith("y"):
                assert text == "y" * codec.capacity
                assert mask.all()
                assert batch["context_modality"][row].tolist() == [IMAGE, TEXT, TEXT, TEXT]
                last = codec.detokenize(codec.decode_ids(batch["context"][row, 3])[0])
                assert last == "x" * codec.capacity  # of 600, the 255 of one canvas and of another
                continue
            prompt = codec.detokenize(codec.decode_ids(batch["context"][row, 0])[0])
            assert text == prompt[::-1] + "\n\n"
            length = len(prompt) + 1
            assert ids[length - 1] == codec.eos_id
            assert mask[:length].all()
            assert mask.sum() == 2 * length
            counted_pad.setdefault(text, np.zeros(codec.capacity, bool))[mask] = True
    assert min(counted.mean() for counted in counted_pad.values()) > 0.7  # others each time


def test_pages_before_a_page_are_its_context(folder):
    config = make_config(folder, "text:{}/book.txt", canvases=3, pages=2)
    codec = CanvasCodec(**config.codec_arguments())
    lengths = set()
    for batch in take(config, 4):
        for row in range(24):
            present = batch["context_present"][row]
            before = codec.detokenize(codec.decode_ids(batch["context"][row][present])[0].reshape(-1)).rstrip("\0")
            ids = codec.decode_ids(batch["canvas"][row])[0]
            here = codec.detokenize(ids[ids != codec.pad_id]).split("\n\n")[0]
            assert not present[2]  # two pages, though there is room for three
            assert before + here in BOOK
            lengths.add(len(before))
            if len(before) < 2 * codec.capacity:  # from its beginning
                assert BOOK.startswith(before)
    assert len(lengths) > 2
    assert max(lengths) == 2 * codec.capacity


def test_no_page_is_conditioned_on_another_document(folder):
    config = make_config(folder, "text:{}/*.txt", pages=2)
    codec = CanvasCodec(**config.codec_arguments())
    for batch in take(config, 4):
        ids = codec.decode_ids(batch["context"])[0]
        assert not (ids[batch["context_present"]] == codec.eos_id).any()


@pytest.mark.parametrize("hosts", [2, 3])
def test_the_shares_of_any_number_of_hosts_make_up_the_same_contexts(folder, hosts):
    config = make_config(folder, pages=1)
    whole = take(config, 3)
    shares = [take(config, 3, shard_index=host, shard_count=hosts) for host in range(hosts)]
    for step, batch in enumerate(whole):
        same({name: np.concatenate([share[step][name] for share in shares]) for name in batch}, batch)


def test_workers_make_the_same_contexts(folder):
    here, there = (take(make_config(folder, pages=1, workers=workers), 3) for workers in (0, 1))
    for first, second in zip(here, there, strict=True):
        same(first, second)


def test_a_restart_goes_on_with_the_same_contexts(folder):
    config = make_config(folder, pages=1)
    codec = CanvasCodec(**config.codec_arguments())
    whole = take(config, 4)
    with make_batches(config, codec) as batches:
        next(batches)
        next(batches)
        state = json.loads(json.dumps(batches.get_state()))
    assert state["sources"][f"pairs:{folder}/pairs.jsonl"]["tokens"] == 2 * (5 + 5 + 19) + 6 + 600 + 400
    with make_batches(config, codec) as batches:
        batches.set_state(state)
        same(next(batches), whole[2])


def test_a_context_that_nothing_fills_is_refused(folder):
    for sources in (("text:{}/book.txt",), ("images:{}/set",)):
        config = make_config(folder, *sources)
        with pytest.raises(InputError, match=r"model.context_canvases=2 and no source has a context: add"):
            make_batches(config, CanvasCodec(**config.codec_arguments()))
    with pytest.raises(InputError, match=r"data.context_pages=3 do not fit on model.context_canvases=2: set"):
        make_config(folder, pages=3)


def test_a_preview_shows_the_context_before_each_canvas(folder):
    config = make_config(folder, pages=1)
    preview = make_preview(make_plan(config, CanvasCodec(**config.codec_arguments())), 24)
    for record, (first, _) in zip(preview.records, preview.contexts, strict=True):
        if record.heading.startswith("image") and first is not None:
            assert first.heading == "given: text"
            assert any(name in first.text for name in COLORS)
    share = preview.statistics["context"]
    assert share["measured_share"] == np.mean([first is not None for first, _ in preview.contexts])
    assert 0 < share["image"] < share["text"] < 1
    alone = contact_sheet(
        make_preview(
            make_plan(make_config(folder, "captions:{}/set", canvases=0), CanvasCodec(**config.codec_arguments())), 24
        )
    )
    assert contact_sheet(preview).height > 2 * alone.height
