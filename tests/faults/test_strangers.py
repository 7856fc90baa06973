"""A workdir, shards, an image or a text from a stranger runs nothing, leads nowhere else and ends in one line."""

import ast
import gzip
import hashlib
import io
import json
import os
import pathlib
import pickle
import shutil
import struct
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
from etils import epath
from PIL import Image

import pixjax
from pixjax.checkpoints.load import load
from pixjax.checkpoints.run_files import write_run
from pixjax.cli import main
from pixjax.codec import CanvasCodec
from pixjax.data import open_source
from pixjax.data.images import BadImage, decode_image
from pixjax.data.preparation import plan_preparation
from pixjax.data.prepare import prepare
from pixjax.data.sources import text_documents
from pixjax.data.uri import SourceUri
from pixjax.errors import InputError
from pixjax.training.train import train

NESTED = b"[" * 100_000
PACKAGE = pathlib.Path(pixjax.__file__).parent


@pytest.fixture
def witness(tmp_path):
    """A file that hostile input makes when it is executed."""
    path = tmp_path / "witness"
    yield path
    assert not path.exists(), "hostile input was executed"


class Hostile:
    """Unpickling it makes the witness."""

    def __init__(self, witness: pathlib.Path):
        self.witness = witness

    def __reduce__(self):
        return os.mkdir, (str(self.witness),)


def hostile_files(witness: pathlib.Path) -> dict[str, bytes]:
    files = {"pickle": pickle.dumps(Hostile(witness))}
    objects = np.array([Hostile(witness)], dtype=object)
    for kind, save in (("npy", np.save), ("npz", np.savez)):
        file = io.BytesIO()
        save(file, objects)
        files[kind] = file.getvalue()
    return files


def renew_checksums(workdir: pathlib.Path) -> None:
    """As whoever hands out a workdir can."""
    names = ("config.json", "data.json", "codec/codec.json")
    checksums = {name: hashlib.sha256((workdir / name).read_bytes()).hexdigest() for name in names}
    (workdir / "sha256.json").write_text(json.dumps(checksums))


def require_one_line(capsys, arguments: list[str], *codes: int) -> str:
    assert main(arguments) in codes
    error = capsys.readouterr().err
    assert error.startswith("pixjax: ")
    assert error.count("\n") == 1
    return error


@pytest.fixture
def workdir(tmp_path, tiny_config):
    """As it is before the first checkpoint."""
    config = tiny_config()
    write_run(epath.Path(tmp_path / "run"), config, CanvasCodec(**config.codec_arguments()))
    return tmp_path / "run"


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_config):
    folder = tmp_path_factory.mktemp("trained") / "run"
    train(tiny_config(training={"steps": 1}), epath.Path(folder))
    return folder


# Nothing is executed


def calls(tree: ast.AST):
    """Every call in a module: its dotted name, and its keywords as they are written."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}


def test_the_source_has_no_call_that_runs_what_it_reads():
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        tree, name = ast.parse(path.read_text()), str(path.relative_to(PACKAGE))
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                imported = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                imported = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                continue
            unsafe = ("pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "yaml")
            found += [
                f"{name}: import {module}"
                for module in imported
                if module.split(".")[0] in unsafe and module != "pickle.UnpicklingError"
            ]
        for function, keywords in calls(tree):
            last = function.rsplit(".", 1)[-1]
            if (
                function in ("eval", "exec", "compile", "__import__", "os.system", "os.popen", "yaml.load")
                or keywords.get("allow_pickle", "False") != "False"
                or keywords.get("shell", "False") != "False"
                or (function.endswith("torch.load") and keywords.get("weights_only") != "True")
                # The person's own --config is a program, by design.
                or (last in ("exec_module", "run_path", "run_module") and name != "config_file.py")
            ):
                found.append(f"{name}: {function}({keywords})")
    assert not found


@pytest.mark.parametrize("kind", ["pickle", "npy", "npz"])
def test_no_file_of_a_workdir_or_a_source_is_unpickled(kind, witness, trained, tmp_path, capsys):
    data = hostile_files(witness)[kind]
    for name in ("config.json", "data.json", "codec/codec.json", "checkpoints/1/meta/metadata"):
        workdir = tmp_path / "run"
        shutil.copytree(trained, workdir)
        (workdir / name).write_bytes(data)
        renew_checksums(workdir)
        out = str(tmp_path / "out")
        require_one_line(capsys, ["sample", f"--workdir={workdir}", f"--out={out}", "--steps=1", "--num=1"], 1, 2)
        shutil.rmtree(workdir)
    with pytest.raises(BadImage):
        decode_image(data, 16)
    for name in ("weights.safetensors", "tokenizer.json", "tokenizer.model", "page.png"):
        (tmp_path / name).write_bytes(data)
    require_one_line(
        capsys, ["convert", "--from=jit", str(tmp_path / "weights.safetensors"), f"--workdir={tmp_path}/new"], 2
    )
    require_one_line(capsys, ["codec", "decode", str(tmp_path / "page.png")], 2)
    for name in ("tokenizer.json", "tokenizer.model"):
        with pytest.raises(InputError, match="cannot be read as"):
            CanvasCodec(tokenizer=str(tmp_path / name))


@pytest.mark.parametrize(
    "key",
    [
        "codec.code",
        "codec.layout",
        "codec.tokenizer",
        "data.sources",
        "data.batch_size",
        "diffusion.time.text",
        "model.dtype",
        "model.patch_size",
        "model.variant",
        "training.best_metric",
        "training.ema_decays",
        "training.init_from",
    ],
)
def test_python_in_a_stored_config_is_a_string_like_any_other(key, witness, workdir, capsys):
    code = f"__import__('os').system('touch {witness}')"
    values = json.loads((workdir / "config.json").read_text())
    *sections, leaf = key.split(".")
    section = values
    for name in sections:
        section = section[name]
    section[leaf] = [code] if isinstance(section[leaf], list) else code
    (workdir / "config.json").write_text(json.dumps(values))
    renew_checksums(workdir)
    require_one_line(capsys, ["inspect", f"--workdir={workdir}"], 1, 2)
    require_one_line(capsys, ["sample", f"--workdir={workdir}", f"--out={workdir}/out"], 1, 2)


def test_python_in_the_codec_of_a_workdir_and_on_the_command_line_is_refused(witness, workdir, tmp_path, capsys):
    code = f"__import__('os').system('touch {witness}')"
    description = json.loads((workdir / "codec" / "codec.json").read_text())
    for key in ("tokenizer", "code", "layout", "patch_size"):
        (workdir / "codec" / "codec.json").write_text(json.dumps(description | {key: code}))
        renew_checksums(workdir)
        require_one_line(capsys, ["inspect", f"--workdir={workdir}"], 1, 2)
    for key in ("training.steps", "training.learning_rate", "data.weights"):
        arguments = ["train", "--config=demo", f"--workdir={tmp_path}/new", f"--config.{key}={code}"]
        require_one_line(capsys, arguments, 2)


def test_pictures_are_never_handed_to_another_program(witness, tmp_path, monkeypatch):
    """Pillow draws EPS by starting Ghostscript."""
    from PIL import EpsImagePlugin

    program = tmp_path / "gs"
    program.write_text(f"#!/bin/sh\necho 10\ntouch {witness}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"
    with pytest.raises(BadImage) as caught:
        decode_image(eps, 16)
    assert caught.value.cause == "unreadable"


# Nothing is read or written elsewhere


@pytest.mark.parametrize("name", ["../secret", "codec/../../secret", "/etc/passwd"])
def test_checksums_of_files_elsewhere_are_not_computed(name, workdir, capsys):
    (workdir.parent / "secret").write_text("")
    checksums = json.loads((workdir / "sha256.json").read_text())
    empty = hashlib.sha256(b"").hexdigest()
    (workdir / "sha256.json").write_text(json.dumps(checksums | {name: empty}))
    assert "outside" in require_one_line(capsys, ["inspect", f"--workdir={workdir}"], 1)


def test_every_file_that_is_read_has_a_checksum(workdir, capsys):
    (workdir / "sha256.json").write_text("{}")
    assert "does not name config.json" in require_one_line(capsys, ["inspect", f"--workdir={workdir}"], 1)


@pytest.mark.parametrize("name", ["../tokenizer.json", "/etc/passwd", "..", "codec.json"])
def test_a_codec_reads_its_own_files_alone(name, workdir):
    (workdir / "tokenizer.json").write_text("{}")
    description = json.loads((workdir / "codec" / "codec.json").read_text())
    sums = {name: hashlib.sha256(b"{}").hexdigest()}
    changed = description | {"tokenizer": "tokenizer.json", "tokenizer_sha256": sums}
    (workdir / "codec" / "codec.json").write_text(json.dumps(changed))
    with pytest.raises(InputError, match="is missing"):
        CanvasCodec.load(workdir / "codec")


@pytest.mark.parametrize("name", ["config.json", "data.json", "codec/codec.json", "sha256.json"])
def test_a_pipe_in_place_of_a_file_is_not_waited_for(name, workdir, capsys):
    (workdir / name).unlink()
    os.mkfifo(workdir / name)
    assert f"{name} is missing" in require_one_line(capsys, ["inspect", f"--workdir={workdir}"], 1)


@pytest.mark.parametrize("name", ["config.json", "lock.json", "metrics.jsonl", "codec/codec.json", "codec"])
def test_training_does_not_write_through_links(name, workdir, tiny_config):
    target = workdir.parent / "target"
    path = workdir / name
    if path.is_dir():
        path.rename(target)
    else:
        path.unlink(missing_ok=True)
    path.symlink_to(target)
    with pytest.raises(InputError, match="is a symbolic link, and training would overwrite"):
        train(tiny_config(), epath.Path(workdir))
    assert not target.is_file()


@pytest.fixture
def shards(tmp_path):
    """A prepared folder of two pictures, and its manifest to be changed."""
    (tmp_path / "pictures").mkdir()
    for number in range(2):
        Image.new("RGB", (16, 16), (number, 0, 0)).save(tmp_path / "pictures" / f"{number}.png")
    source = f"images:{tmp_path}/pictures"
    prepare(plan_preparation(source, str(tmp_path / "shards"), canvas_size=16))
    return tmp_path / "shards"


@pytest.mark.parametrize(
    "change",
    [
        {"file": "../elsewhere.array_record"},
        {"file": "/elsewhere.array_record"},
        {"file": ".."},
        {"file": 5},
        {"sha256": "../../elsewhere"},
        {"num_records": "2"},
        {"num_bytes": -1},
    ],
)
def test_a_manifest_names_files_of_its_own_folder_alone(change, shards):
    manifest = json.loads((shards / "manifest.json").read_text())
    (shards.parent / "elsewhere.array_record").write_bytes((shards / manifest["shards"][0]["file"]).read_bytes())
    manifest["shards"][0] |= change
    (shards / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=r"manifest.json is damaged"):
        open_source(f"array_record:{shards}", canvas_size=16)


def test_the_note_of_an_unfinished_preparation_deletes_nothing_elsewhere(shards):
    manifest = json.loads((shards / "manifest.json").read_text())
    (shards.parent / "kept.array_record").write_bytes(b"kept")
    (shards / "manifest.json").unlink()
    recipe = {key: manifest[key] for key in ("kind", "source", "fingerprint", "canvas_size", "num_shards", "resize")}
    (shards / "recipe.json").write_text(json.dumps(recipe))
    note = manifest["shards"][0] | {"file": "../kept.array_record", "num_records": 0}
    (shards / "shard-00000-of-00001.json").write_text(json.dumps(note))
    with pytest.raises(InputError, match="is damaged"):
        prepare(plan_preparation(manifest["source"], str(shards), canvas_size=16))
    assert (shards.parent / "kept.array_record").read_bytes() == b"kept"


def test_records_that_are_no_pictures_of_this_size_are_refused(shards):
    from pixjax.data.shards import write_shard

    name = json.loads((shards / "manifest.json").read_text())["shards"][0]["file"]
    header = struct.Struct("<HHiI")
    for record in (
        b"",
        header.pack(65535, 65535, 0, 0),
        header.pack(8, 8, 0, 0) + bytes(192),
        header.pack(16, 16, 0, 99_999) + bytes(768) + NESTED,
    ):
        count, size, digest = write_shard(epath.Path(shards / name), [record])
        manifest = json.loads((shards / "manifest.json").read_text())
        manifest["shards"][0] |= {"num_records": count, "num_bytes": size, "sha256": digest}
        (shards / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(InputError, match="prepare"):
            open_source(f"array_record:{shards}", canvas_size=16).load([0])


# Sizes have limits


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def header(width: int, height: int) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


def png(*chunks: bytes) -> bytes:
    pixels = chunk(b"IDAT", zlib.compress(bytes(16 * 49)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + pixels + chunk(b"IEND", b"")


TEXT_BOMB = zlib.compress(bytes(64 << 20))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(png(header(40_000, 40_000)), id="many pixels"),
        pytest.param(png(header(12_000, 12_000)), id="fewer than Pillow's own limit"),
        pytest.param(png(header(16, 16), header(40_000, 40_000)), id="two headers"),
        pytest.param(png(header(16, 16), header(12_000, 12_000)), id="two headers, fewer pixels"),
        pytest.param(png(header(16, 16), chunk(b"zTXt", b"pixjax:codec\0\0" + TEXT_BOMB)), id="zTXt"),
        pytest.param(png(header(16, 16), chunk(b"iTXt", b"pixjax:codec\0\1\0\0\0" + TEXT_BOMB)), id="iTXt"),
        pytest.param(png(header(16, 16), chunk(b"tEXt", b"pixjax:codec\0" + NESTED)), id="nested JSON"),
    ],
)
def test_a_png_that_swells_is_refused_before_it_does(data, tmp_path, capsys):
    (tmp_path / "page.png").write_bytes(data)
    tracemalloc.start()
    try:
        require_one_line(capsys, ["codec", "decode", str(tmp_path / "page.png")], 2)
        if NESTED not in data:  # to a picture its texts do not matter
            with pytest.raises(BadImage):
                decode_image(data, 16)
        assert tracemalloc.get_traced_memory()[1] < 32 << 20
    finally:
        tracemalloc.stop()


def test_a_jpeg_of_too_many_pixels_is_refused():
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "JPEG")
    data = bytearray(file.getvalue())
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", 60_000, 60_000)
    with pytest.raises(BadImage) as caught:
        decode_image(bytes(data), 16)
    assert caught.value.cause == "too_large"


def test_a_member_of_a_zip_is_not_unpacked_beyond_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr("pixjax.data.archives._MAX_MEMBER", 1 << 20)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(256 << 20))
    source = open_source(f"images:{tmp_path}/bomb.zip", canvas_size=16)
    tracemalloc.start()
    try:
        (bad,) = source.load([0])
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()
    assert isinstance(bad, BadImage)
    assert "larger than" in bad.detail


def test_packed_text_is_never_in_memory_as_a_whole(tmp_path):
    line = json.dumps({"text": "a" * 65_000}).encode() + b"\n"
    with gzip.open(tmp_path / "long.jsonl.gz", "wb", compresslevel=1) as file:
        for _ in range(1000):
            file.write(line)
    tracemalloc.start()
    try:
        assert sum(map(len, text_documents(SourceUri("text", f"{tmp_path}/long.jsonl.gz")))) == 65_000_000
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


# Nested and lying files end in one line


@pytest.mark.parametrize("name", ["config.json", "data.json", "codec/codec.json", "sha256.json"])
@pytest.mark.parametrize("content", [NESTED, b"5", b"null", b"[]", b"\xff\xfe\xff"])
def test_any_json_in_a_workdir_ends_in_one_line(name, content, trained, tmp_path, capsys):
    workdir = tmp_path / "run"
    shutil.copytree(trained, workdir)
    (workdir / name).write_bytes(content)
    if name != "sha256.json":
        renew_checksums(workdir)
    require_one_line(capsys, ["sample", f"--workdir={workdir}", f"--out={tmp_path}/out"], 1, 2)


def test_what_a_run_goes_on_from_may_hold_anything(trained, tmp_path, tiny_config):
    workdir = tmp_path / "run"
    shutil.copytree(trained, workdir)
    (workdir / "lock.json").write_bytes(NESTED)
    os.utime(workdir / "lock.json", (0, 0))  # so old that nobody has to be watched
    (workdir / "metrics.jsonl").write_bytes(b"\xff" + NESTED + b"\n5\n")
    train(tiny_config(training={"steps": 1}), epath.Path(workdir))
    assert load(workdir).step == 1


@pytest.mark.parametrize("content", [{}, 5, {"trees": {}, "digests": {}, "sha256": {}, "versions": 5}])
def test_a_checkpoint_that_describes_itself_wrongly_ends_in_one_line(content, trained, tmp_path, capsys):
    workdir = tmp_path / "run"
    shutil.copytree(trained, workdir)
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    (workdir / "checkpoints/1/meta/metadata").write_text(json.dumps({"content": content, "sha256": digest}))
    assert "is not what was saved" in require_one_line(capsys, ["inspect", f"--workdir={workdir}"], 1)


def test_nested_json_in_sources_and_shards_is_refused(tmp_path, shards):
    (tmp_path / "nested.jsonl").write_bytes(NESTED)
    with pytest.raises(InputError, match=r"nested.jsonl line 1 is not"):
        list(text_documents(SourceUri("text", f"{tmp_path}/nested.jsonl")))
    with pytest.raises(InputError, match=r"nested.jsonl line 1 is not"):
        open_source(f"images:{tmp_path}/pictures?labels={tmp_path}/nested.jsonl", canvas_size=16)
    (shards / "manifest.json").write_bytes(NESTED)
    with pytest.raises(InputError, match=r"manifest.json is damaged"):
        open_source(f"array_record:{shards}", canvas_size=16)


def safetensors(tensors, body: bytes = b"", length: int | None = None) -> bytes:
    described = tensors if isinstance(tensors, bytes) else json.dumps(tensors).encode()
    return struct.pack("<Q", len(described) if length is None else length) + described + body


def tensor(*shape: int, end: int = 8, kind: str = "F32") -> dict:
    return {"dtype": kind, "shape": shape, "data_offsets": [0, end]}


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(safetensors({}, length=2**63), id="a header of 8 EiB"),
        pytest.param(safetensors({"a": tensor(10**6, end=4 * 10**6)}, bytes(8)), id="more than the file"),
        pytest.param(safetensors({"a": tensor(10**9, 10**9)}, bytes(8)), id="a shape beyond its bytes"),
        pytest.param(safetensors({"a": tensor(2**40, 2**40)}, bytes(8)), id="a shape beyond 64 bits"),
        pytest.param(safetensors({"a": tensor(2), "b": tensor(2)}, bytes(8)), id="bytes of two tensors"),
        pytest.param(safetensors({"a": tensor(8, kind="F8_E4M3")}, bytes(8)), id="a type that NumPy lacks"),
        pytest.param(safetensors(b'{"a":' + NESTED), id="a nested header"),
        pytest.param(
            safetensors({"__metadata__": {"args": NESTED.decode()}, "a": tensor(2)}, bytes(8)), id="nested options"
        ),
    ],
)
def test_weights_that_lie_about_themselves_are_refused(data, tmp_path, capsys):
    (tmp_path / "lie.safetensors").write_bytes(data)
    arguments = ["convert", "--from=jit", str(tmp_path / "lie.safetensors"), f"--workdir={tmp_path}/run"]
    assert "does not read as safetensors" in require_one_line(capsys, arguments, 2)
    assert not (tmp_path / "run").exists()
