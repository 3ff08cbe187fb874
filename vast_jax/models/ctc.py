"""Reading the output of a CTC network (Graves et al. 2006): freely, or bound to a grammar."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from vast_jax.types import Array


def collapse(path: Sequence[int] | np.ndarray, blank: int = 0) -> list[int]:
    """The classes of a path: repetitions merged, then blanks removed."""
    path = np.asarray(path, int)
    new = np.concatenate([[True], path[1:] != path[:-1]]) if len(path) else np.zeros(0, bool)
    return [int(c) for c in path[new] if c != blank]


def greedy(log_probabilities_TxC: Float[Array, "T C"], blank: int = 0) -> list[int]:
    """Classes of the best class of each frame."""
    return collapse(np.argmax(log_probabilities_TxC, axis=-1), blank)


def best_sentence(
    log_probabilities_TxC: Float[Array, "T C"], places: Sequence[Sequence[int]], blank: int = 0
) -> list[int]:
    """The sentence, one class from each of `places`, that the most probable path spells (Viterbi).

    Raises:
      ValueError: so few frames that no path spells a sentence.
    """
    classes, links, ends = _graph(places, blank)
    emitted = np.asarray(log_probabilities_TxC, np.float64)[:, classes]  # [T, S]
    if len(emitted) < len(places):
        raise ValueError(f"{len(emitted)} frames cannot spell {len(places)} classes")
    back = np.zeros(emitted.shape, int)
    # A path begins in the first blank or at the first place: where the first blank can go.
    score = np.where(np.isfinite(links[0]), emitted[0], -np.inf)
    for t in range(1, len(emitted)):
        before = score[:, None] + links
        back[t] = before.argmax(0)
        score = before.max(0) + emitted[t]
    state = ends[int(np.argmax(score[ends]))]
    if score[state] == -np.inf:
        raise ValueError(f"{len(emitted)} frames cannot spell {len(places)} classes")
    path = [state]
    for t in range(len(emitted) - 1, 0, -1):
        path.append(back[t, path[-1]])
    return collapse(classes[path[::-1]], blank)


def _graph(places: Sequence[Sequence[int]], blank: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Classes [S] of the states of all sentences' paths, links [S, S] (0 or minus infinity), and the last states.

    The states are a blank, those of a place, a blank, and so on; a path stays, or goes on to the next blank or place;
    from one place to the next without a blank only where the class changes.
    """
    groups = [[blank]]
    for place in places:
        groups += [list(place), [blank]]
    classes = np.concatenate(groups).astype(int)
    group = np.repeat(np.arange(len(groups)), [len(g) for g in groups])
    step = group[None] - group[:, None]
    same = classes[None] == classes[:, None]
    odd = group[:, None] % 2 == 1
    allowed = np.eye(len(classes), dtype=bool) | (step == 1) | ((step == 2) & odd & ~same)
    return classes, np.where(allowed, 0.0, -np.inf), np.flatnonzero(group >= len(groups) - 2)
