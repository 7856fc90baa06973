"""`pixjax tokenizer train`: a byte-level BPE tokenizer from one's own text."""

import argparse

HELP = "train a byte-level BPE tokenizer on your own text"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(metavar="train", required=True)
    train = commands.add_parser("train", help="text files to a tokenizer.json", allow_abbrev=False)
    train.add_argument(
        "--text", required=True, nargs="+", metavar="PLACE", help="what follows text: in a source: a glob, a folder"
    )
    train.add_argument("--vocab-size", required=True, type=int, help="tokens, PAD and EOS included; 258 or more")
    train.add_argument("--out", default="tokenizer.json", help="FILE.json")
    train.set_defaults(action=run_train)


def run(args: argparse.Namespace) -> int:
    return args.action(args)


def run_train(args: argparse.Namespace) -> int:
    from pixjax.codec.subword import train_bpe
    from pixjax.data.sources import text_documents
    from pixjax.data.uri import SourceUri
    from pixjax.errors import InputError
    from pixjax.paths import reachable_path

    out = reachable_path(args.out, "--out")
    if out.suffix != ".json":
        raise InputError(f"{out} does not end in .json: a tokenizer is written as one")
    sources = [SourceUri.parse(f"text:{place}") for place in args.text]
    texts = (text for source in sources for text in text_documents(source, what="text"))
    data = train_bpe(texts, vocab_size=args.vocab_size)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(data)
    print(f"{out}: use it as --tokenizer={out} or codec.tokenizer")
    return 0
