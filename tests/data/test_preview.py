import json

import numpy as np
import pytest
from PIL import Image

from pixjax.cli import main
from pixjax.codec import TEXT, CanvasCodec
from pixjax.config import CodecConfig, Config, DataConfig, ModelConfig
from pixjax.data.batch_plan import make_plan
from pixjax.data.preview import contact_sheet, make_preview


@pytest.fixture
def sources(tmp_path):
    (tmp_path / "a.txt").write_text("the quick brown fox " * 200)
    (tmp_path / "pictures").mkdir()
    lines = []
    for number in range(6):
        Image.new("RGB", (32, 32), (200, 100, 10 * number)).save(tmp_path / "pictures" / f"{number}.png")
        lines.append(json.dumps({"file": f"{number}.png", "caption": f"picture {number}"}))
    (tmp_path / "pictures" / "captions.jsonl").write_text("\n".join(lines))
    return (f"text:{tmp_path}/a.txt", f"captions:{tmp_path}/pictures")


def preview_of(sources, num=40, **data):
    config = Config(
        model=ModelConfig(canvas_size=16),
        codec=CodecConfig(tokenizer="chars27"),
        data=DataConfig(sources=sources, batch_size=4, **data),
    )
    return make_preview(make_plan(config, CanvasCodec(**config.codec_arguments())), num)


def test_each_record_is_shown_with_what_it_says(sources):
    preview = preview_of(sources)
    for panel in preview.records:
        if panel.heading == "text":
            assert "quick brown" in panel.text
        else:
            assert panel.text == f"picture {panel.canvas[8, 8, 2] // 10}"


def test_the_records_are_those_that_training_draws(sources):
    preview = preview_of(sources, num=8)
    config = Config(
        model=ModelConfig(canvas_size=16),
        codec=CodecConfig(tokenizer="chars27"),
        data=DataConfig(sources=sources, batch_size=4),
    )
    plan = make_plan(config, CanvasCodec(**config.codec_arguments()))
    shown = np.stack([panel.canvas for panel in preview.records])
    np.testing.assert_array_equal(shown, np.concatenate([plan[0]["canvas"], plan[1]["canvas"]]))


def test_statistics_are_of_the_stream(sources):
    statistics = preview_of(sources, text_ratio=0.25).statistics
    assert [source["measured_share"] for source in statistics["sources"]] == [0.25, 0.75]
    assert (statistics["text"]["measured_share"], statistics["image"]["measured_share"]) == (0.25, 0.75)
    assert statistics["image"]["color_mean"][:2] == pytest.approx([200, 100], abs=1)
    assert statistics["image"]["color_std"][0] < 5
    assert statistics["text"]["tokens_per_canvas"]["max"] == statistics["text"]["capacity"] == 255
    assert statistics["text"]["letters_per_token"] == pytest.approx(1, abs=0.02)


def test_the_sheet_has_room_for_every_record(sources):
    small, large = (contact_sheet(preview_of(sources, num=num)) for num in (3, 20))
    assert small.width < large.width
    assert large.height > 2 * small.height


def test_the_command_writes_sheet_and_statistics(sources, tmp_path, capsys):
    out = tmp_path / "out"
    overrides = [f"--config.data.sources={','.join(sources)}", "--config.model.canvas_size=16"]
    assert main(["data", "preview", "--config=mixed64_marker", f"--out={out}", "--num=10", *overrides]) == 0
    assert Image.open(out / "preview.png").size[0] > 500
    assert json.loads((out / "statistics.json").read_text())["records"] == 10
    printed = capsys.readouterr().out
    assert "50.00%  text:" in printed
    assert "captions:" in printed


def test_prepare_and_its_wrong_uses_on_the_command_line(sources, tmp_path, capsys):
    out = tmp_path / "out"
    common = ["prepare", f"--out={out}", "--canvas-size=16", "--workers=1"]
    assert main([*common, f"--source={sources[0]}", "--tokenizer=chars27"]) == 0
    assert "4,001 tokens, 0 skipped; read them as array_record:" in capsys.readouterr().out
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    for arguments, message in {
        (f"--source={sources[0]}", "--tokenizer=bytes"): "prepared with another",
        (f"--source={sources[1]}",): "prepared with another",
        ("--source=text:/nowhere/*",): "matches no file",
        (f"--source={sources[0]}", "--shards=-1"): "--shards=-1 has to be 0 or more",
        ("--source=sounds:x",): "is not one of",
    }.items():
        assert main([*common, *arguments]) == 2
        printed = capsys.readouterr().err
        assert message in printed
        assert printed.count("\n") == 1
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_text_canvases_are_tagged_in_what_is_previewed(sources):
    preview = preview_of(sources, num=12)
    for panel in preview.records:
        assert (panel.canvas[0, 0] == (0 if panel.heading == "text" else 255)).all()
    assert TEXT == 0
