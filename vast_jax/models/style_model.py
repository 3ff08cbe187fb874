"""Style transfer with its weights, for whole clips: a prompt to its style, speech and a style to expression."""

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from vast_jax.models.closing import Closing
from vast_jax.models.liveliness import Liveliness
from vast_jax.models.style_transfer import STYLE_SOURCES, StyleTransfer, normalise
from vast_jax.types import UserError
from vast_jax.weights import exports, model_config

_ASSETS = Path(__file__).parent.parent / "assets"
SHIPPED = {"default": _ASSETS / "style.safetensors", "grid": _ASSETS / "style_grid.safetensors"}


class StyleModel:
    """Style transfer with its weights: whole clips of any length in and out, in activations of the face model."""

    WINDOW = 96  # frames of a prompt seen at once: as in training
    SHORT, LONG = 250, 1500  # frames of a piece: two programs are compiled at most

    def __init__(
        self, module: StyleTransfer, params: Mapping[str, Any], constants: Mapping[str, np.ndarray], card=None
    ):
        self.module, self.constants, self.card = module, constants, dict(card or {})
        self._variables = {"params": params}
        self._closing = Closing.of(constants)
        self._liveliness = Liveliness.of(constants) if module.lively and module.weak else None
        self._encode = jax.jit(functools.partial(module.apply, method="encode"))
        self._start = jax.jit(functools.partial(module.apply, method="start"))
        self._generate = jax.jit(functools.partial(module.apply, method="generate", around=module.reach))

    @classmethod
    def load(cls, path: str | os.PathLike | None = None) -> "StyleModel":
        """The model of a .safetensors file or export folder, or one of `SHIPPED` (None: the default).

        UserError: see exports.load; a model of another version.
        """
        if path is None:
            path = SHIPPED["default"]
        elif not Path(path).exists():
            path = SHIPPED.get(str(path), path)
        params, constants, card = exports.load_part(path, "style")
        module = model_config.build(StyleTransfer, card["config"], path)
        _check(module, constants, path)
        return cls(module, params, constants, card)

    def posterior(
        self, expression: np.ndarray, ppg: np.ndarray, has_speech: bool = True, temperature: float = 0.0, seed: int = 0
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """mu, logvar and style [windows, ...] of half-overlapping windows of a prompt: [N, D] and [N, 41], N >= 1."""
        frames = len(expression)
        starts = sorted({*range(0, max(frames - self.WINDOW, 0), self.WINDOW // 2), max(frames - self.WINDOW, 0)})
        count = 1 << (len(starts) - 1).bit_length()  # a power of two: few programs
        x = np.zeros((count, self.WINDOW, expression.shape[1]), np.float32)
        a = np.zeros((count, self.WINDOW, ppg.shape[1]), np.float32)
        mask = np.zeros((count, self.WINDOW), bool)
        mask[:, 0] = True
        for row, start in enumerate(starts):
            length = min(self.WINDOW, frames - start)
            x[row, :length], a[row, :length] = expression[start : start + length], ppg[start : start + length]
            mask[row, :length] = True
        x = normalise(x, self.constants["mean"], self.constants["std"])
        known = np.full(count, bool(has_speech))
        blinks = np.full(count, self._liveliness.rate(expression) if self._liveliness else 0, np.float32)
        key = jax.random.key(seed) if temperature > 0 else None
        found = self._encode(self._variables, x, a, mask, known, key, temperature, blinks)
        return tuple(np.asarray(y)[: len(starts)] for y in found)

    def encode(
        self, expression: np.ndarray, ppg: np.ndarray, has_speech: bool = True, temperature: float = 0.0, seed: int = 0
    ) -> np.ndarray:
        """The style [S] of a prompt: expression [N, D] and PPG [N, 41], the latter unread without `has_speech`.

        A prompt longer than the training's clips is read in windows, whose styles are averaged. At temperature 0 it is
        the posterior's centre, above it a sample.
        """
        return self.posterior(expression, ppg, has_speech, temperature, seed)[2].mean(0)

    def draw(self, seed: int, temperature: float = 1.0) -> np.ndarray:
        """A style [S] that nobody has shown, spread as the training clips' are; `temperature` scales deviations.

        A model that does not know these draws from the prior N(0, I), which Householder steps leave as it is.
        """
        rng = np.random.default_rng(seed % 2**32)
        if "drawn_axes" not in self.constants:
            return (temperature * rng.standard_normal(self.module.width_of_style)).astype(np.float32)
        centre, axes = self.constants["drawn_mean"], self.constants["drawn_axes"]
        return (centre + temperature * rng.standard_normal(len(axes)) @ axes).astype(np.float32)

    def decode(
        self, ppg: np.ndarray, style: np.ndarray, seed: int = 0, gains: tuple[float, float] = (1.0, 1.0)
    ) -> np.ndarray:
        """Expression [T, D] of speech, PPG [T, 41], in a style [S], or [T, S] where it changes over time.

        Within the range seen in training. Made piece by piece, which changes nothing, so that an hour needs no more
        memory than a minute. `seed`: of all that is left to chance, blinks and wandering brows. `gains`: of the
        deviation from the mean face, for strong parameters and for weak ones; blinks still shut the eyes and lips meet.
        """
        frames, reach, key = len(ppg), self.module.reach, jax.random.key(seed)
        if not frames:
            return np.zeros((0, len(self.constants["mean"])), np.float32)
        mean, std = self.constants["mean"], self.constants["std"]
        style = np.broadcast_to(np.asarray(style, np.float32), (frames, np.shape(style)[-1]))
        length = self.SHORT if frames <= self.SHORT else self.LONG
        state = self._start(self._variables, np.asarray(ppg[:1], np.float32), style[:1], key)
        pieces, chances = [], []
        for start in range(0, frames, length):
            at = np.arange(start - reach, start + length + reach)
            there = (at >= 0) & (at < frames)
            row = np.clip(at, 0, frames - 1)
            speech = np.where(there[:, None], ppg[row], 0).astype(np.float32)
            made = self._generate(self._variables, speech[None], style[row][None], there[None], state, key)
            state = made.state
            pieces.append(np.asarray(made.expression)[0])
            if made.chances is not None:
                chances.append([np.asarray(x)[0] for x in made.chances])
        x = np.concatenate(pieces)[:frames]
        strong, weak = list(self.module.strong), list(self.module.weak)
        if chances:
            log_sigma, blink = (np.concatenate(parts)[:frames] for parts in zip(*chances, strict=True))
            x[:, weak] += self._liveliness.wandering(log_sigma, seed)
        x[:, strong] *= gains[0]
        x[:, weak] *= gains[1]
        if chances:
            x[:, weak] = self._liveliness.blink(x[:, weak], blink[:, 0], seed)
        expression = x * std + mean
        low, high = self.constants["low"], self.constants["high"]
        if self._closing is not None:
            expression = self._closing.close(expression, ppg, low, high)
        return np.clip(expression, low, high).astype(np.float32)


def load_style_model(path: str | os.PathLike | None = None) -> StyleModel:
    """The style model of an export folder or .safetensors file, or a shipped one: "default" (also None) or "grid"."""
    return StyleModel.load(path)


def _check(module: StyleTransfer, constants: Mapping[str, np.ndarray], source: str | os.PathLike) -> None:
    """UserError where a card's module cannot be, or the constants are not its own."""
    parameters, weak, style = sorted((*module.strong, *module.weak)), len(module.weak), module.width_of_style
    if parameters != list(range(len(parameters))) or not module.strong or module.style_source not in STYLE_SOURCES:
        raise UserError(f"{source}: its card names no style model (strong, weak, style_source); export it again")
    of = {name: (len(parameters),) for name in ("mean", "std", "low", "high")}
    if "closing_gap" in constants:
        of |= {"closing_gap": of["mean"], "closing_way": of["mean"], "closing_shut": (1,)}
    if module.lively and weak:
        sizes = {"loadings": (weak, weak), "memory": (weak, None), "wave": (None,), "closures": of["mean"]}
        sizes |= dict.fromkeys(("innovation", "shut", "lids"), (weak,))
        of |= {f"lively_{name}": sizes[name] for name in Liveliness._fields}
    if "drawn_axes" in constants:
        of |= {"drawn_axes": (None, style), "drawn_mean": (style,)}
    model_config.check_constants(constants, of, source)
    if not (constants["std"] > 0).all() or not (constants["low"] <= constants["high"]).all():
        raise UserError(f"{source}: its deviations or ranges are not positive; export it again")
