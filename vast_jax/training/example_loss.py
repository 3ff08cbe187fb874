"""Losses of examples that are seen one by one: the same however a batch is split over pieces, devices and hosts."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from vast_jax.training.precision import as_float32, products_in
from vast_jax.types import Array, Batch, Metrics, Params


@dataclass(frozen=True)
class OfExamples:
    """A loss in two halves, called as any loss of `types.Players`.

    `each` runs the networks on one example with a key of its own, the batch's with the example's place folded in;
    `total` makes the loss of what they say of all. Only `each` is done in `pieces`, one after another, and what it
    computed is computed again on the way back, so that memory is that of one piece. The loss is that of the whole
    batch, whatever it compares or counts, and its gradient is the same but for rounding.
    """

    each: Callable[[Params, Batch, Array, Array], Any]
    # ({player: params}, batch of one, key, progress) -> tree of arrays [1, ...]
    total: Callable[[Any, Batch, Array], tuple[Array, Metrics]]
    # (tree of arrays [B, ...], floating ones float32, whole batch, progress) -> (loss, metrics)
    pieces: int = 1
    compute: str = "float32"  # type of the products in `each`

    def __call__(self, params: Params, batch: Batch, key: Array | None, progress: Array) -> tuple[Array, Metrics]:
        """The loss of a batch and its metrics. Without a key nothing is drawn: the networks get None."""

        def one(key, example):
            with products_in(self.compute):
                found = self.each(params, jax.tree.map(lambda x: x[None], example), key, progress)
            return jax.tree.map(lambda x: x[0], found)

        def several(inputs):
            return jax.vmap(one)(*inputs)

        batch = {name: jnp.asarray(array) for name, array in batch.items()}
        count = len(next(iter(batch.values())))
        keys = None if key is None else jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(count))
        if self.pieces == 1:
            found = several((keys, batch))
        else:
            # A piece takes every n-th example, so that each device has its share of every piece.
            split = jax.tree.map(lambda x: jnp.moveaxis(x.reshape(-1, self.pieces, *x.shape[1:]), 1, 0), (keys, batch))
            found = _one_after_another(jax.checkpoint(several), split, self.pieces)
            found = jax.tree.map(lambda x: jnp.moveaxis(x, 0, 1).reshape(-1, *x.shape[2:]), found)
        return self.total(as_float32(found), batch, progress)


def _one_after_another(function: Callable, inputs: Any, count: int) -> Any:
    """`function` of each of the `count` rows of `inputs`, stacked; on a CPU without a loop, in which XLA is slow."""
    if jax.default_backend() != "cpu":
        return jax.lax.map(function, inputs)
    rows = [function(jax.tree.map(lambda x, i=i: x[i], inputs)) for i in range(count)]
    return jax.tree.map(lambda *x: jnp.stack(x), *rows)
