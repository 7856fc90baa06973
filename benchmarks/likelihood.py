"""The cost of the likelihood: network passes times variance, of even draws and of those that `pixjax evaluate` makes.

    python benchmarks/likelihood.py [--workdir pretrained:small --modality image --canvases 48 --num-times 16]

Measures the bound of the same canvases twice each way: with log-SNRs drawn evenly between -10 and 14, twice as many of
them, and each canvas decoded at every end of the path; and as `evaluate_likelihood` does it, where validation canvases
found the integrand and with one end. Both take the mix and the end that were fitted. Two measurements of a canvas
differ by the draws alone, so their difference gives the variance of these; the variance over canvases holds the
canvases' own besides. Prints, for an evaluation of 1,000 canvases (and 250 for validation), the passes of each way, the
standard error of a figure, and the ratio of passes at the same standard error: `ratio`, which all of the error
counts for, and `ratio_of_draws`, for the part that passes can make smaller. `decoder_share_of_draws` is how much of the
variance of draws the one noisy canvas at the end of the path makes; all else is the integral's. Images are those of
`demo:images` and texts those of `demo:text`, unless sources are named; `--seed` draws other noise.
"""

import argparse
import functools
import json

import numpy as np

from pixjax.checkpoints.load import load
from pixjax.codec import IMAGE, TEXT
from pixjax.diffusion.bound import Bound, even
from pixjax.evaluation.held_out import read_canvases
from pixjax.evaluation.likelihood import ENDPOINTS, TRIED, choose
from pixjax.evaluation.model_bound import LOG_SNR_MIN, figures_of, measure_bound, unigram_log_prior

TEST, VALIDATION = 1_000, 250


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", default="pretrained:small")
    parser.add_argument("--modality", choices=("text", "image"), default="image")
    parser.add_argument("--canvases", type=int, default=48, help="of each set")
    parser.add_argument("--num-times", type=int, default=16)
    parser.add_argument("--test", default="", metavar="SOURCE")
    parser.add_argument("--validation", default="", metavar="SOURCE")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    modality = TEXT if args.modality == "text" else IMAGE
    demo = "demo:text?part=held_out" if modality == TEXT else "demo:images"
    denoiser = load(args.workdir)
    read = functools.partial(read_canvases, denoiser.config, denoiser.codec)
    test = read([args.test or demo], modality, args.canvases)
    validation = read([args.validation or demo], modality, args.canvases)
    if test is None or validation is None:
        parser.error(f"--test and --validation have to hold {args.modality} canvases")

    measure = functools.partial(
        measure_bound, denoiser, modality=modality, batch_size=16, done=lambda evaluations: None,
        log_prior=unigram_log_prior(denoiser.codec, validation.canvases, validation.mask) if modality == TEXT else None,
    )  # fmt: skip
    figures = figures_of(denoiser, modality)
    everywhere = even(LOG_SNR_MIN, ENDPOINTS[-1])
    seen = measure(
        validation.canvases, validation.mask, proposal=everywhere, ends=dict.fromkeys(figures, ENDPOINTS),
        seed=3 * args.seed, tried=TRIED, num_times=args.num_times,
    )  # fmt: skip
    choices = choose(seen, figures, ENDPOINTS, validation.mask.sum(axis=(1, 2)))
    name, end = figures[-1], choices.ends[figures[-1]]
    share = choices.shares[name]

    def twice(**how) -> list[Bound]:
        """Two measurements of each canvas, which differ by the seed."""
        found = [
            measure(test.canvases, test.mask, ends={name: (end,)}, seed=3 * args.seed + seed, **how) for seed in (1, 2)
        ]
        return [m.bound(name, share, (end,)) for m in found]

    def cost(bounds: list[Bound], num_times: int, decoded: float) -> dict[str, float]:
        nats = np.stack([bound.total[:, 0] for bound in bounds])
        draws = np.mean(np.square(nats[0] - nats[1])) / 2
        one, other = bounds
        # The noise of the integral and that of the decoder are drawn apart, so that their variances add up.
        of_decoder, of_integral = (
            np.mean(np.square(a - b))
            for a, b in ((one.reconstruction, other.reconstruction), (one.diffusion, other.diffusion))
        )
        return {
            "passes": round((TEST + VALIDATION) * num_times + decoded),
            "stderr_percent": float(100 * np.sqrt(nats.var(axis=1, ddof=1).mean() / TEST) / nats.mean()),
            "stderr_of_draws_percent": float(100 * np.sqrt(draws / TEST) / nats.mean()),
            "decoder_share_of_draws": float(of_decoder / (of_decoder + of_integral)),
        }

    decodes = modality == TEXT and denoiser.config.model.codebook_head
    many = 2 * args.num_times
    before = cost(
        twice(proposal=everywhere, num_times=many),
        many,
        decodes * (TEST + VALIDATION) * len(ENDPOINTS),
    )
    after = cost(
        twice(proposal=choices.proposal, num_times=args.num_times),
        args.num_times,
        decodes * (TEST + min(TRIED, VALIDATION) * len(ENDPOINTS)),
    )
    ratios = {
        ratio: after["passes"] * after[key] ** 2 / (before["passes"] * before[key] ** 2)
        for ratio, key in (("ratio", "stderr_percent"), ("ratio_of_draws", "stderr_of_draws_percent"))
    }
    facts = {"figure": name, "log_snr_max": end, "canvases": args.canvases}
    print(json.dumps(facts | {"before": before, "after": after} | ratios, indent=2))


if __name__ == "__main__":
    main()
