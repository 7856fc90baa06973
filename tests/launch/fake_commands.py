"""Stand-ins for the commands that the launchers call: each records its call, and does what a test has it do."""

import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
LAUNCH = ROOT / "launch"

FAKE = r"""#!/usr/bin/env bash
{ printf '%s\0' "${0##*/}" "$@"; printf '\036'; } >> "$FAKES/calls"
if [[ -f $FAKES/answers/${0##*/} ]]; then source "$FAKES/answers/${0##*/}"; fi
"""


class Fakes:
    """`fakes.answer("srun", "exit 42")` is bash that runs when `srun` is called; `fakes.calls` is who was called."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.bin = folder / "bin"
        self.bin.mkdir()
        (folder / "answers").mkdir()
        commands = "gcloud sbatch srun scontrol scancel squeue kubectl xpk docker nvidia-smi curl uv buildah"
        for name in commands.split():
            self.answer(name, "")

    def answer(self, name: str, bash: str) -> None:
        (self.folder / "answers" / name).write_text(bash)
        (self.bin / name).write_text(FAKE)
        (self.bin / name).chmod(0o755)

    @property
    def calls(self) -> list[list[str]]:
        path = self.folder / "calls"
        records = path.read_bytes().decode().split("\036")[:-1] if path.exists() else []
        return [record.split("\0")[:-1] for record in records]

    def called(self, *beginning: str) -> list[list[str]]:
        return [call for call in self.calls if call[: len(beginning)] == list(beginning)]

    def forget(self) -> None:
        (self.folder / "calls").unlink(missing_ok=True)

    def run(self, script: str | pathlib.Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
        """A script of `launch/` (or anywhere), with the stand-ins before everything else on the PATH."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "CUDA_"))}
        clean |= {"PATH": f"{self.bin}:/usr/bin:/bin", "FAKES": str(self.folder)} | environment
        command = ["bash", str(LAUNCH / script), *arguments]
        return subprocess.run(command, env=clean, cwd=self.folder, capture_output=True, text=True, timeout=300)
