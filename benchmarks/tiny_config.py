"""The run of `kills.py` and `soak.py`: so small that time goes into saves and starts, not into steps."""

from ml_collections import ConfigDict

from pixjax.config import default_config


def get_config() -> ConfigDict:
    config = default_config()
    config.model.update(
        variant="Ti", canvas_size=16, patch_size="4", depth=1, width=32, heads=2, bottleneck=16,
        in_context_tokens=0, dtype="float32",
    )  # fmt: skip
    config.codec.update(tokenizer="chars27", normalize=True, code="radix:3:1", layout="patch")
    config.data.update(batch_size=12)
    config.training.update(warmup_steps=2, ema_decays=(0.9,))
    config.sampling.update(steps=2, batch_size=4)
    return config
