"""Where a run's arrays lie: one mesh over all devices of all hosts, the batch split over it, parameters everywhere."""

from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from vast_jax.training.step import TrainState
from vast_jax.types import Array, Batch, UserError

LEAST = 1 << 18  # numbers of an array of the optimiser that is split: of a smaller one the exchange costs more


def mesh_of(batch_size: int, accumulate: int = 1) -> Mesh:
    """One axis, "data", over all devices, host after host, so that a host's rows of a batch are neighbours.

    Raises:
        UserError: a batch that does not divide over devices and parts.
    """
    devices = jax.device_count()
    if batch_size % (devices * accumulate):
        parts = f" in {accumulate} parts" if accumulate > 1 else ""
        raise UserError(f"--batch-size {batch_size} does not divide over {devices} devices{parts}: give a multiple")
    ordered = sorted(jax.devices(), key=lambda device: (device.process_index, device.id))
    return Mesh(np.array(ordered), ("data",), axis_types=(AxisType.Auto,))


def of_state(shapes: TrainState, mesh: Mesh) -> TrainState:
    """Shardings of a state: replicated, but for the optimiser's large arrays, which are split along one axis.

    Each device then keeps and updates its share of the moments, and the new parameters are gathered (ZeRO, stage 1,
    Rajbhandari et al., 2020). Parameters stay whole on each device: ours are small, and every frame needs all of them.
    """
    replicated = everywhere(mesh)

    def split(leaf) -> NamedSharding:
        axes = [axis for axis, length in enumerate(leaf.shape) if length % mesh.size == 0]
        if leaf.size < LEAST or not axes or mesh.size == 1:
            return replicated
        longest = max(axes, key=lambda axis: leaf.shape[axis])
        return NamedSharding(mesh, PartitionSpec(*(None,) * longest, "data"))

    return jax.tree.map(lambda leaf: replicated, shapes).replace(optimiser=jax.tree.map(split, shapes.optimiser))


def everywhere(mesh: Mesh) -> NamedSharding:
    """Of an array that every device has whole."""
    return NamedSharding(mesh, PartitionSpec())


def replicate(tree: Any, mesh: Mesh) -> Any:
    """The same arrays, which every host has, on every device."""
    return jax.device_put(tree, everywhere(mesh))


def over_devices(batch: Batch, mesh: Mesh) -> dict[str, Array]:
    """A global batch of this host's rows [B / hosts, ...] of it and the other hosts' rows: [B, ...], split."""
    rows = NamedSharding(mesh, PartitionSpec("data"))
    return {name: jax.make_array_from_process_local_data(rows, np.asarray(array)) for name, array in batch.items()}
