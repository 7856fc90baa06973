"""`pixjax data preview`: look at what a config trains on before it does."""

import argparse

HELP = "preview the data of a config: contact sheet and statistics"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(metavar="preview", required=True)
    preview = commands.add_parser(
        "preview",
        help="a contact sheet of the first records, and their statistics",
        description="Writes preview.png and statistics.json.",
        allow_abbrev=False,
    )
    preview.add_argument("--config", required=True, metavar="NAME|FILE.py", help="as for pixjax train")
    preview.add_argument("--out", required=True, metavar="DIR")
    preview.add_argument("--num", type=int, default=64, metavar="N", help="records (64)")
    preview.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from pixjax.codec import CanvasCodec
    from pixjax.config_file import load_config
    from pixjax.data.batch_plan import make_plan
    from pixjax.data.preview import contact_sheet, make_preview
    from pixjax.data.shards import write_json
    from pixjax.errors import InputError
    from pixjax.paths import reachable_path

    if not 1 <= args.num <= 100_000:
        raise InputError(f"--num={args.num} has to be from 1 to 100000")
    out = reachable_path(args.out, "--out")
    config = load_config(args.config, args.overrides)
    preview = make_preview(make_plan(config, CanvasCodec(**config.codec_arguments())), args.num)
    out.mkdir(parents=True, exist_ok=True)
    with (out / "preview.png").open("wb") as file:
        contact_sheet(preview).save(file, "PNG")
    write_json(out / "statistics.json", preview.statistics)
    for source in preview.statistics["sources"]:
        rows = ", ".join(f"{count:,} {cause}" for cause, count in source["skipped_rows"].items())
        said = [f"{source['records']:,} records", source.get("lost", ""), rows and f"skipped rows: {rows}"]
        print(f"{source['measured_share']:7.2%}  {source['uri']}  ({'; '.join(filter(None, said))})")
    for note in preview.statistics["notes"]:
        print(note)
    for name in ("text", "image"):
        if values := preview.statistics.get(name):
            mean, std = (", ".join(f"{x:.0f}" for x in values[f"color_{kind}"]) for kind in ("mean", "std"))
            print(f"{values['measured_share']:7.2%}  {name}: colours {mean} ± {std}")
    if context := preview.statistics.get("context"):
        print(f"{context['measured_share']:7.2%}  with a context: {context['canvases']:.2f} canvases on average")
    if skipped := preview.statistics["skipped"]:
        print("skipped: " + ", ".join(f"{count} {cause}" for cause, count in skipped.items()))
    print(out / "preview.png")
    return 0
