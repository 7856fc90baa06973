"""The files around the package: what they tell to type exists, and versions agree. Pages are tested in `tests/docs`."""

import pathlib
import re
import shlex
import tomllib

import yaml
from hypothesis import settings

import pixjax
from pixjax.cli import make_parser
from pixjax.config_file import load_config

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())


def workflow_lines() -> list[str]:
    runs = [step["run"] for job in WORKFLOW["jobs"].values() for step in job["steps"] if "run" in step]
    return "\n".join(runs).splitlines()


def typed_in(page: str) -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    return "".join(blocks).replace("\\\n", " ").splitlines()


def test_every_make_target_that_is_told_is_there():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    told = [line for line in [*workflow_lines(), *typed_in("CONTRIBUTING.md")] if line.startswith("make ")]
    assert {"lint", "types", "test", "docs", "wheel"} <= {shlex.split(line)[1] for line in told} <= targets


def test_property_tests_try_the_same_examples_in_every_run():
    assert settings.default.derandomize
    assert settings.default.deadline is None
    assert settings.default.database is None


def test_every_pixjax_command_of_the_workflow_is_one_that_it_understands():
    commands = [shlex.split(line)[1:] for line in workflow_lines() if line.startswith("pixjax ")]
    assert [command[0] for command in commands] == ["train", "sample", "inspect"]
    for command in commands:
        overrides = [word for word in command if word.startswith("--config.")]
        args = make_parser().parse_args([word for word in command if word not in overrides])
        if "config" in args:
            load_config(args.config, overrides)


def test_the_workflow_tests_the_pythons_that_the_package_names():
    named = {c.rsplit(" ", 1)[1] for c in PROJECT["classifiers"] if re.search(r"Python :: 3\.\d", c)}
    assert set(WORKFLOW["jobs"]["test"]["strategy"]["matrix"]["python"]) == named
    assert PROJECT["requires-python"] == f">={min(named, key=lambda v: int(v.split('.')[1]))}"


def test_versions_agree_and_the_changelog_has_a_place_for_the_next_one():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert PROJECT["version"] == pixjax.__version__ == citation["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(rf"^## \[{re.escape(PROJECT['version'])}\]|^## \[Unreleased\]", changelog, re.MULTILINE)
    kinds = set(re.findall(r"^### (\w+)$", changelog, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}  # keepachangelog.com


def test_the_citation_has_what_the_format_requires():
    """https://github.com/citation-file-format/citation-file-format/blob/main/schema-guide.md"""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["cff-version"] == "1.2.0"
    assert citation["license"] == PROJECT["license"]
    everybody = citation["authors"] + [a for reference in citation["references"] for a in reference["authors"]]
    assert all("name" in author or {"family-names", "given-names"} <= set(author) for author in everybody)
