"""Prompts: text, pictures and pages answered by text and pictures, in one model.

    pixjax train --config=context64 --workdir=runs/context --config.data.sources='text:books/*.txt,
        captions:photos,captions:photos?answer=text,pairs:dialogues.jsonl'
    pixjax sample --workdir=runs/context --modality=image --prompt="a dog on grass" --out=runs/context/dog
    pixjax sample --workdir=runs/context --modality=text --prompt-image=photo.jpg --out=runs/context/caption
    pixjax sample --workdir=runs/context --modality=text --prompt="It was a" --pages=4 --out=runs/context/story

One clean canvas precedes the noisy one: a prompt, a caption, a picture, or the page before. It doubles the sequence,
and a step costs a little more than twice one of `mixed64_marker`. As it stands it trains on the demo's text, page after
page.
Cost and result: not measured at full length; `--config.model.variant=Ti --config.training.steps=300` is a first try
on a CPU.
"""

from pixjax.configs import mixed64_marker


def get_config():
    config = mixed64_marker.get_config()
    config.model.context_canvases = 1
    config.data.context_pages = 1
    return config
