"""`launch/slurm.sbatch` as sbatch runs it: a copy, in a job's environment. Real tasks train in test_processes.py."""

import re

import pytest
from fake_commands import LAUNCH

SCRIPT = LAUNCH / "slurm.sbatch"
TRAIN = ("--config=demo", "--workdir=/shared/mine", "--config.data.sources=text:my texts/*.txt")
SBATCH = r"""
for argument in "$@"; do
  case $argument in
    --ntasks-per-node=*) tasks=${argument#*=} ;;
    --*) ;;
    *) script=$argument && break ;;
  esac
done
while [[ $1 != "$script" ]]; do shift; done
shift
cp "$script" "$FAKES/slurm_script"
export SLURM_JOB_ID=77 SLURM_NTASKS_PER_NODE=${tasks:-8} SLURM_GPUS_ON_NODE=8 SLURM_CPUS_PER_TASK=6
bash "$FAKES/slurm_script" "$@"
"""


@pytest.fixture
def submit(fakes):
    fakes.answer("sbatch", SBATCH)
    fakes.answer("pixjax", "")
    return lambda *arguments: fakes.run(fakes.bin / "sbatch", *arguments)


def test_one_task_a_gpu_and_time_to_save():
    options = dict(re.findall(r"^#SBATCH --([a-z-]+)=?(.*)$", SCRIPT.read_text(), re.MULTILINE))
    assert options["ntasks-per-node"] == options["gpus-per-node"]
    assert options["signal"] == "TERM@300"  # to the tasks; B: would be the shell
    assert options["requeue"] == ""
    assert options["open-mode"] == "append"


def test_the_job_starts_one_step_with_the_arguments_as_they_were_given(submit, fakes):
    done = submit("--nodes=2", str(SCRIPT), *TRAIN)
    assert done.returncode == 0, done.stderr
    assert fakes.calls[1:] == [["srun", "--cpus-per-task=6", "pixjax", "train", "--stopped-exit-code=42", *TRAIN]]


@pytest.mark.parametrize(
    ("code", "requeued"), [(0, False), (1, False), (2, False), (42, True), (75, True), (143, True)]
)
def test_a_run_that_was_stopped_or_lost_a_host_goes_back_to_the_queue(submit, fakes, code, requeued):
    fakes.answer("srun", f"exit {code}")
    assert submit(str(SCRIPT), *TRAIN).returncode == code
    assert fakes.called("scontrol") == ([["scontrol", "requeue", "77"]] if requeued else [])


def test_tasks_that_would_not_find_their_gpu_are_refused(submit, fakes):
    done = submit("--ntasks-per-node=1", str(SCRIPT), *TRAIN)
    assert done.returncode == 2
    assert "1 tasks and 8 GPUs a node" in done.stderr
    assert not fakes.called("srun")


@pytest.mark.parametrize(("code", "requeued"), [(0, False), (1, True), (2, False), (137, True)])
def test_a_run_that_failed_after_ten_minutes_of_work_is_started_again(submit, fakes, code, requeued):
    fakes.answer("sbatch", SBATCH.replace("bash ", "SECONDS=601 bash "))
    fakes.answer("srun", f"exit {code}")
    assert submit(str(SCRIPT), *TRAIN).returncode == code
    assert bool(fakes.called("scontrol")) == requeued


def test_a_cancelled_job_stays_cancelled(submit, fakes):
    fakes.answer("srun", "exit 42")
    fakes.answer("squeue", "echo COMPLETING None")
    assert submit(str(SCRIPT), *TRAIN).returncode == 42
    assert not fakes.called("scontrol")


def test_an_array_puts_its_number_where_it_is_written(submit, fakes):
    fakes.answer("sbatch", SBATCH.replace("bash ", "SLURM_NTASKS=1 SLURM_ARRAY_TASK_ID=3 bash "))
    arguments = ("study", "--config=study_mixing", "--workdir=/shared/a%20b", "--seeds=%a")
    assert submit("--ntasks-per-node=1", str(SCRIPT), *arguments).returncode == 0
    assert fakes.called("srun")[0][2:] == ["pixjax", "study", "--stopped-exit-code=42", *arguments[1:3], "--seeds=3"]
