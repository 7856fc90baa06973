"""`pixjax inspect`: the contents of a workdir, and whether they are undamaged."""

import argparse

HELP = "say what a workdir holds: config, steps, parameters, codec"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workdir", required=True, metavar="DIR", help="of a training run, or pretrained:NAME")
    parser.add_argument("--verify", action="store_true", help="read every byte; exit code 1 when something is damaged")
    parser.add_argument("--json", action="store_true", help="the same as one JSON object")
    parser.set_defaults(prints_its_product=True)


def run(args: argparse.Namespace) -> int | None:
    import json

    from pixjax.checkpoints.inspect import describe, verify
    from pixjax.checkpoints.run_files import find_workdir
    from pixjax.runtime import require_devices

    require_devices()
    if args.verify:
        damages = verify(find_workdir(args.workdir))
        if args.json:
            print(json.dumps(damages))
        else:
            for part, problems in damages.items():
                print(f"{part}: {'; '.join(problems) or 'as it was written'}")
        return int(any(damages.values()))
    found = describe(find_workdir(args.workdir))
    if args.json:
        print(json.dumps(found))
        return None
    print(f"workdir     {args.workdir}")
    print(f"steps       {', '.join(map(str, found['steps']))}")
    print(f"parameters  {found['parameters']:,} ({found['parameters'] * 4 / 2**20:.1f} MiB in float32)")
    for name, size in found["parameters_by_module"].items():
        print(f"  {name:<20} {size:>12,}")
    print("codec       " + ", ".join(f"{k} {v}" for k, v in found["codec"].items()))
    print("written by  " + ", ".join(f"{k} {v[:12]}" for k, v in found["versions"].items() if v))
    print("config      " + json.dumps(found["config"], indent=2))
    return None
