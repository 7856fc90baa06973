"""The variational bound on -log p(x) of the Gaussian path, as in Variational Diffusion Models (arXiv 2107.00630).

    -log p(x) <= KL(q(z_0|x) || p(z_0)) + ½ ∫ e^λ E‖x - x̂(z_λ)‖² dλ + E[-log p(x|z_1)]

λ is the log-SNR of z = t·x + (1-t)·s·ε, 2 log(t / ((1-t)·s)); z_0 and z_1 are the two ends of its range, and p(z_0) is
the noise that sampling starts from. A prediction x̂ that depends on z and t alone, whatever it is, gives a valid bound.

Only counted pixels enter. The others (marker, PAD, pixels without a token) are then given: the bound is on
-log p(counted | others), for the model that draws the noisy others from q, as they are known. Denoising never sees
anything but the noisy canvas, so that nothing has to be told to the network.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from pixjax.diffusion import noisy
from pixjax.diffusion.path import Denoise, per_canvas, time_at

# (x, mask, y, sigma) to -log p(x|y) of the counted pixels in nats [batch], where y = x + sigma·ε.
Reconstruct = Callable[[Array, Array, Array, Array], Array]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Bound:
    """The terms of the bound of each canvas in nats, for every endpoint at which the path may end. JAX or NumPy.

    kl: of the start of the path.
    log_snr: where the integrand was sampled, between the start and the last endpoint.
    contributions: what each sample adds to the integral over that range; their sum is the integral.
    reconstruction: of the canvas from the noisy one at each endpoint.
    """

    kl: Float[Array, " batch"]
    log_snr: Float[Array, "batch times"]
    contributions: Float[Array, "batch times"]
    reconstruction: Float[Array, "batch endpoints"]
    endpoints: tuple[float, ...] = dataclasses.field(metadata={"static": True})

    @property
    def diffusion(self) -> Float[Array, "batch endpoints"]:
        """The integral up to each endpoint."""
        below = self.log_snr[..., None] < np.asarray(self.endpoints)
        return (self.contributions[..., None] * below).sum(axis=1)

    @property
    def total(self) -> Float[Array, "batch endpoints"]:
        return self.kl[:, None] + self.diffusion + self.reconstruction


def stratified_log_snr(
    key: jax.Array, batch: int, num_times: int, low: float, high: float, counted: int | Int[Array, ""]
) -> Float[Array, "batch times"]:
    """Uniform over [low, high), evenly spread over a canvas's samples and the counted canvases, by one random offset.

    Each value by itself is uniform, so that averages are unbiased; those of the first `counted` canvases together leave
    no gap (arXiv 2107.00630, appendix I.1).
    """
    place = (jnp.arange(num_times) + jnp.arange(batch)[:, None] / counted) / num_times
    return low + (high - low) * jnp.mod(place + jax.random.uniform(key), 1.0)


def variational_bound(
    denoise: Denoise,
    x: Float[Array, "batch height width 3"],
    mask: Bool[Array, "batch height width"],
    reconstruct: Reconstruct,
    *,
    noise_scale: float,
    log_snr_min: float,
    endpoints: tuple[float, ...],
    num_times: int,
    key: jax.Array,
    counted: int | Int[Array, ""] | None = None,
) -> Bound:
    """Unbiased estimates of all terms, from `num_times` noisy canvases of each canvas.

    Args:
      denoise: (z, t) to the clean prediction; called once a time, in sequence.
      x: in [-1, 1].
      mask: the pixels that are counted.
      reconstruct: the decoder at the end of the path, see `reconstruction.py`.
      log_snr_min, endpoints: the range of log-SNR, the endpoints in ascending order.
      counted: canvases that are, the first of the batch; None is all. The times are spread over them.
      key: two bounds with the same key and range look at the same noisy canvases.
    """
    time_key, noise_key, end_key = jax.random.split(key, 3)
    batch, span = len(x), endpoints[-1] - log_snr_min
    counted = batch if counted is None else counted
    log_snr = stratified_log_snr(time_key, batch, num_times, log_snr_min, endpoints[-1], counted)

    def squared_norm(values: Array) -> Float[Array, " batch"]:
        return jnp.sum(jnp.where(mask[..., None], jnp.square(values), 0.0), axis=(1, 2, 3))

    def integrand(inputs) -> Float[Array, " batch"]:
        time_noise_key, log_snr_B = inputs
        t = time_at(log_snr_B, noise_scale)
        z = noisy(x, jax.random.normal(time_noise_key, x.shape), t, noise_scale)
        return 0.5 * jnp.exp(log_snr_B) * squared_norm(x - denoise(z, t))

    noise = jax.random.normal(end_key, x.shape)  # one for all endpoints, which are to be compared

    def reconstruction(log_snr: Array) -> Float[Array, " batch"]:
        sigma = jnp.full(batch, jnp.exp(-0.5 * log_snr))
        return reconstruct(x, mask, x + per_canvas(sigma) * noise, sigma)

    integrand_TB = jax.lax.map(integrand, (jax.random.split(noise_key, num_times), log_snr.T))
    return Bound(
        kl=0.5 * jnp.exp(log_snr_min) * squared_norm(x),  # of two Gaussians of the same variance
        log_snr=log_snr,
        contributions=integrand_TB.T * (span / num_times),
        reconstruction=jax.lax.map(reconstruction, jnp.asarray(endpoints)).T,
        endpoints=endpoints,
    )
