"""The listener: a model that predicts valence and arousal of every bar from the music around it.

All its parts are linear, and all music is rated on one scale, that of VGMIDI's raters:

- The level. With the context `whole` valence is read from the whole piece, and arousal is the mean over the piece of
  what each moment suggests; with `heard` both are read for each bar from the music up to it (and, of what follows, from
  when the next onset comes). Music without a beat grid, as a recorded performance is, has weights of its own on top of
  those for all music, and more of them the less its onsets lie on a grid: its bars are mere windows of time, and its
  notes last as long as the pedal is held.
- The motion, with the context `whole`: how each bar differs from the level of its piece.
- The band: what drums and instruments add. It is 0 in music for pianos alone, and 0 on average over songs for bands.

Each prediction has a standard deviation, which differs from bar to bar. listener_training.py says how all parts are
learned. There is no torch here: importing it takes longer than annotating a song. And since no matrix product mixes
pieces, the predictions for a song do not depend, even in their last digits, on the other songs annotated with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, cast, get_args

import numpy as np

from pipeline.settings import one_line

from .band import BAND, band_share, from_usual
from .bar_context import MEANS_BEFORE, BarViews, view_bars
from .features import FEATURES
from .latent_projection import LatentProjection
from .onsets import rises

Context = Literal["whole", "heard"]
View = Context  # the views of BarViews from which a level is read
Motion = Literal["full", "cautious"]
CLIP = 4.0  # standard deviations; a feature beyond is outside the training data and is clipped
# values of off_grid between which music goes from having a beat grid to having none: 95 % of VGMIDI's scores lie below
# the first, three quarters of EMOPIA's recordings near the second or above it
FREE = (0.45, 0.8)
# What the size of an error depends on: how extreme the prediction is, how unlike the training data the music is, how
# few notes sound, how far two ways of predicting the bar differ, and how unpleasant it is predicted to be.
ERROR_CAUSES = ("extreme", "unlike", "few", "disagreement", "unpleasant")
_FEW = np.log1p(0.5)  # an onset in two seconds; music with more has enough
_STRANGE = 0.2  # distance beyond most training data at which an extreme prediction is no surer
_LARGEST_SD = 1.0  # half of the scale
_MOST_EXTREME = 2.0  # standard deviations of ratings; beyond, an extreme prediction is no surer
_UNHEARD_DISTANCE = 2.0  # standard deviations by which a feature that nothing defines counts as unlike
_WIDEST = 10_000  # values of a bar; far more than features and latents have
_OFF_GRID, _ONSETS = FEATURES.index("off_grid"), FEATURES.index("onsets_per_second")


@dataclass(frozen=True)
class ListenerConfig:
    """Shape of a listener.

    width: values it reads for each bar, the last `components` of which are what latents are projected to. context:
    whole or heard. latent: width of the latents. Both are 0 if it reads none.
    """

    width: int
    context: Context
    latent: int = 0
    components: int = 0


@dataclass(frozen=True)
class Listener:
    """The weights of a listener, by the names of `weight_shapes`, and its shape.

    motion_size: full, 72 % of the spread that ratings have; or cautious, as a regression predicts it, which is less.
    """

    kind: ClassVar = "listener"
    weights: Mapping[str, np.ndarray]
    config: ListenerConfig
    motion_size: Motion = "full"

    @classmethod
    def load(cls, facts: Mapping[str, str], tensors: Mapping[str, np.ndarray], motion_size: Motion) -> Listener:
        """A trained listener from its file's metadata and tensors. Raises ValueError if they don't fit."""
        if facts["context"] not in get_args(Context):
            raise ValueError(f"its context is {facts['context'][:20]!r}")
        latent, components = (int(facts.get(name, "0")) for name in ("latent", "components"))
        config = ListenerConfig(int(facts["width"]), cast(Context, facts["context"]), latent, components)
        if not _OFF_GRID < config.width - components <= config.width <= _WIDEST:
            raise ValueError(f"it reads {config.width} values of a bar")
        if latent > _WIDEST or (latent > 0) != (components > 0):
            raise ValueError(f"it reads {components} components of latents {latent} wide")
        shapes = weight_shapes(config)
        for name in sorted(shapes.keys() | tensors.keys()):
            if name not in shapes or name not in tensors or tensors[name].shape != shapes[name]:
                raise ValueError(f"{one_line(name, 80)} is not that of a listener with the context {config.context}")
            if name.endswith(("std", "spread")) and not (tensors[name] > 0).all():
                raise ValueError(f"{name} is not above 0")
        return cls(tensors, config, motion_size)

    def state_dict(self) -> Mapping[str, np.ndarray]:
        """The weights by their names."""
        return self.weights

    @property
    def project(self) -> Callable[[np.ndarray], np.ndarray] | None:
        """The function that projects latents, (n, latent), to what it reads, (n, d); None if it reads no latents."""
        if not self.config.latent:
            return None
        return LatentProjection(self.weights["latents.mean"], self.weights["latents.components"])

    def predict(self, views: BarViews) -> np.ndarray:
        """Valence and arousal in [−1, 1] of a piece's bars, and their standard deviations: float32 (n, 4)."""
        moments = self.read(views, "heard")
        moving = self.moving(views)
        rating = (self._levels(views, moments) + moving + self.band(views)).clip(-1, 1)
        if not views.has_pitch:
            rating[:, 0] = self.weights["error.mean"][0]
        error_sd = self._error_sd(rating, views, self.causes(rating, views, moments, moving))
        if not views.has_pitch:
            error_sd[:, 0] = self._without_pitch()
        return np.concatenate([rating, error_sd], axis=1, dtype=np.float32)

    def level(self, views: BarViews) -> np.ndarray:
        """The level of a piece, (2,): the mean over its bars, without what the band adds."""
        return self._levels(views, self.read(views, "heard")).mean(axis=0)

    def _levels(self, views: BarViews, moments: np.ndarray) -> np.ndarray:
        """The level of each bar, (n, 2), or of the piece, (1, 2). moments: (n, 2), read from what was heard."""
        if self.config.context == "heard":
            return moments
        return np.stack([self.read(views, "whole")[:, 0], moments[:, 1].mean(keepdims=True)], axis=1)

    def read(self, views: BarViews, view: View) -> np.ndarray:
        """Both dimensions as each row of a view suggests them: (1, 2) for whole, (n, 2) for heard."""
        rows: np.ndarray = getattr(views, view)
        bias = self.weights[f"{view}.bias"]
        read = self._scaled(view, rows) @ self.weights[f"{view}.weight"].T + bias[0]
        freedom = free_of_grid(rows, view, self.config.width)[:, None]
        if freedom.any():
            free = self._scaled(f"{view}.free", rows) @ self.weights[f"{view}.free.weight"].T + bias[1]
            read = read + freedom * free
        return read

    def moving(self, views: BarViews) -> np.ndarray:
        """How bars differ from the level of their piece, (n, 2), with mean 0; all 0 with the context heard."""
        if self.config.context == "heard" or not views.has_pitch:
            return np.zeros((len(views.heard), 2))
        motion = self.motion(views)
        return motion * (self.weights["motion.gain"] if self.motion_size == "full" else 1.0)

    def motion(self, views: BarViews) -> np.ndarray:
        """As `moving`, of the size that a regression gives it."""
        motion = self._scaled("motion", views.motion) @ self.weights["motion.weight"].T
        return motion - motion.mean(axis=0)

    def band(self, views: BarViews) -> np.ndarray:
        """What drums and instruments add, (1, 2) with the context whole, (n, 2) with heard."""
        away = from_usual(self._band_heard(views), self.weights["band.mean"]) / self.weights["band.std"]
        return away.clip(-CLIP, CLIP) @ self.weights["band.weight"].T

    def _band_heard(self, views: BarViews) -> np.ndarray:
        """The band's features as far as the context lets them be known."""
        return views.band if self.config.context == "heard" else views.band[-1:]

    def causes(self, rating: np.ndarray, views: BarViews, moments: np.ndarray, moving: np.ndarray) -> np.ndarray:
        """ERROR_CAUSES of each bar for each dimension, (2, n, 5); all but the last are 0 or more.

        rating, moments, moving: (n, 2), the prediction, what `read` makes of the view `heard`, and `moving`.
        """
        rows: np.ndarray = getattr(views, self.config.context)
        scaled = np.where(np.isnan(rows), _UNHEARD_DISTANCE, self._scaled(self.config.context, rows))
        beyond = np.broadcast_to(np.maximum(distance(scaled) - self.weights["error.far"], 0), len(rating))
        unlike = np.broadcast_to(np.sqrt(np.square(scaled).mean(axis=1)), len(rating))
        few = np.maximum(_FEW - views.heard[:, _ONSETS], 0)
        from_mean = (rating - self.weights["error.mean"]) / self.weights["error.spread"]
        extreme = np.minimum(np.abs(from_mean), _MOST_EXTREME) * (1 - beyond / _STRANGE).clip(0, 1)[:, None]
        other = np.zeros_like(moments) if self.config.context == "heard" else moments - moments.mean(axis=0) - moving
        other = np.abs(other) / self.weights["error.spread"]
        causes = np.empty((2, len(rating), len(ERROR_CAUSES)))
        for i, cause in enumerate((extreme.T, unlike, few, other.T, -from_mean[:, 0])):
            causes[..., i] = cause
        return causes

    def _error_sd(self, rating: np.ndarray, views: BarViews, causes: np.ndarray) -> np.ndarray:
        """The standard deviations of the errors, (n, 2)."""
        sd = np.exp(self.weights["error.bias"] + np.einsum("knc,kc->nk", causes, self.weights["error.weight"]))
        context = self.config.context
        freedom = free_of_grid(getattr(views, context), context, self.config.width)[:, None]
        sd *= 1 + freedom * (self.weights["error.free"] - 1)
        more = band_share(self._band_heard(views))[:, None] * self.weights["error.band_variance"]
        return np.minimum(np.sqrt(np.square(sd) + more), _LARGEST_SD)

    def _without_pitch(self) -> float:
        """The standard deviation of valence where nothing tells it: that of VGMIDI's pieces, and that of bands."""
        spread, band = self.weights["error.spread"][0], self.weights["error.band_variance"][0]
        return float(np.sqrt(np.square(spread) + band))

    def _scaled(self, part: str, rows: np.ndarray) -> np.ndarray:
        """Rows standardised and clipped; what is unheard becomes 0, the mean."""
        scaled = ((rows - self.weights[f"{part}.mean"]) / self.weights[f"{part}.std"]).clip(-CLIP, CLIP)
        return np.nan_to_num(scaled, copy=False) if np.isnan(scaled[0]).any() else scaled


def distance(scaled: np.ndarray) -> np.ndarray:
    """How far the strangest features of rows lie from the training data, (rows,): fourth root of mean fourth powers.

    scaled: (rows, width), in standard deviations. The root of mean squares would hardly see a few strange features.
    """
    return np.sqrt(np.sqrt((np.square(scaled) ** 2).mean(axis=1)))


def free_of_grid(rows: np.ndarray, view: View, width: int) -> np.ndarray:
    """How far music is free of a beat grid, 0 to 1, for each row of a view."""
    first = 0 if view == "whole" else MEANS_BEFORE * width  # of the means over all that the row knows
    off_grid = rows[:, first + _OFF_GRID]
    return rises(np.where(np.isnan(off_grid), 0, off_grid), *FREE)


def weight_shapes(config: ListenerConfig) -> dict[str, tuple[int, ...]]:
    """The names and shapes of a listener's weights.

    whole, heard: mean and std standardise the view, weight and bias rate both dimensions; free.* do so for music
    without a beat grid, and the second bias is added to it. motion, band: likewise; gain is the full size of the motion
    against that of the regression, and band.mean is usual in songs for bands. error: bias and weight give the logarithm
    of the standard deviation from ERROR_CAUSES; mean and spread are those of ratings; far is a distance that one in ten
    pieces of the training data exceeds; free multiplies the standard deviation of music without a beat grid;
    band_variance is added to the variance of bands. latents: mean and components project latents.
    """
    views = view_bars(np.zeros((1, config.width)), np.array([0.0, 1.0]), np.zeros((1, len(BAND))))
    shapes: dict[str, tuple[int, ...]] = {}
    for view in views_read(config.context):
        width = getattr(views, view).shape[1]
        for part in (view, f"{view}.free"):
            shapes |= {f"{part}.mean": (width,), f"{part}.std": (width,), f"{part}.weight": (2, width)}
        shapes[f"{view}.bias"] = (2, 2)
    if config.context == "whole":
        motion = views.motion.shape[1]
        shapes |= {"motion.mean": (motion,), "motion.std": (motion,), "motion.weight": (2, motion), "motion.gain": (2,)}
    if config.latent:
        shapes |= {"latents.mean": (config.latent,)}
        shapes |= {"latents.components": (config.components, config.latent)}
    shapes |= {"band.mean": (len(BAND),), "band.std": (len(BAND),), "band.weight": (2, len(BAND))}
    shapes |= {f"error.{name}": (2,) for name in ("bias", "mean", "spread", "free", "band_variance")}
    return shapes | {"error.weight": (2, len(ERROR_CAUSES)), "error.far": (1,)}


def is_latent(part: View | Literal["motion"], config: ListenerConfig) -> np.ndarray:
    """Which columns of a view are of projected latents, bool; the same for all statistics of a value."""
    views = view_bars(np.zeros((1, config.width)), np.array([0.0, 1.0]), np.zeros((1, len(BAND))))
    columns = np.arange(getattr(views, part).shape[1])
    of_values = columns < len(columns) // config.width * config.width  # what stands behind them is of time
    return of_values & (columns % config.width >= config.width - config.components)


def views_read(context: Context) -> tuple[View, ...]:
    """The views from which a level is read."""
    return ("whole", "heard") if context == "whole" else ("heard",)
