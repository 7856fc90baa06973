"""`pixjax study`: arms and seeds, trained, measured and compared."""

import argparse

from pixjax.commands.exit_code import exit_code

HELP = "train and measure runs that differ in one thing, over seeds, and compare them"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", required=True, metavar="NAME|FILE.py", help="a study, for instance study_mixing")
    parser.add_argument("--workdir", required=True, metavar="DIR", help="gets runs/, results.json and report.html")
    parser.add_argument(
        "--seeds", metavar="S,S,…", help="instead of the study's own; of an arm with seeds of its own, those among them"
    )
    parser.add_argument("--baselines", nargs="*", default=[], metavar="FILE", help="results of benchmarks/baselines")
    parser.add_argument(
        "--stopped-exit-code",
        type=exit_code,
        default=0,
        metavar="N",
        help="when a signal stopped the study before its end (0): tells a launcher to start it again",
    )
    parser.epilog = "Any key of the base config may follow as --config.KEY=VALUE; arms that set it keep theirs."


def run(args: argparse.Namespace) -> int:
    from pixjax.checkpoints.run_files import new_workdir
    from pixjax.study.study import read_study

    workdir = new_workdir(args.workdir)
    study = read_study(args.config, args.overrides, _seeds(args.seeds))
    from pixjax.runtime import set_up

    set_up()
    import sys

    from pixjax.evaluation.evaluate import Stopped
    from pixjax.evaluation.references import read_baselines
    from pixjax.paths import write_whole
    from pixjax.report import write_report
    from pixjax.study.report import results_json, study_report
    from pixjax.study.statistics import conclusion, relative_changes
    from pixjax.study.study import run_study
    from pixjax.training.stop_signal import StopSignal

    baselines = read_baselines(args.baselines)
    workdir.mkdir(parents=True, exist_ok=True)

    def write(results):
        changes = relative_changes(study.comparisons, results)
        write_whole(workdir / "results.json", results_json(study, results, changes).encode())
        write_report(workdir / "report.html", study_report(study, workdir, results, changes, baselines))

    with StopSignal("keeping what is done so far") as stop:
        try:
            results = run_study(
                study,
                workdir,
                baselines=args.baselines,
                stop=lambda: bool(stop.received),
                say=lambda line: print(line, file=sys.stderr, flush=True),
                after_run=write,
            )
        except Stopped:
            print(f"stopped: what is done is kept in {workdir}, the same command continues")
            return args.stopped_exit_code
    for change in relative_changes(study.comparisons, results):
        print(conclusion(change))
    print(f"report: {workdir / 'report.html'}")
    return 0


def _seeds(text: str | None) -> tuple[int, ...]:
    from pixjax.errors import InputError

    try:
        return tuple(int(seed) for seed in text.split(",")) if text else ()
    except ValueError:
        raise InputError(f"--seeds={text} are not whole numbers: write for instance 0,1,2") from None
