"""The averages of a checkpoint's parameters, the last one used in memory."""

from pixjax.checkpoints.load import Denoiser, load


class Averages:
    """Called with the name of an average, it loads that one unless it has it already; all are of one checkpoint."""

    def __init__(self, workdir: str, step: int | None = None):
        """Loads the first average. Raises `InputError` and `RunError` as `load` does; `step` None is the newest."""
        self._workdir = workdir
        self.current = load(workdir, step=step)
        self._name = str(self.current.config.training.ema_decays[0])

    def __call__(self, name: str) -> Denoiser:
        if name != self._name:
            self.current = load(self._workdir, ema=name, step=self.current.step)
            self._name = name
        return self.current
