"""A face at rest: how people differ, and what they hold.

Landmarks of one clip hardly tell a low brow from a lowered one. What tells is how much more often the one occurs: the
spread of people's identities, and the spread of the expressions that they hold through a clip. Both were learned from
footage of many people (`face_models.learn_rest`).
"""

from typing import NamedTuple

import numpy as np


class RestPrior(NamedTuple):
    """Precisions (inverse covariances) of two normal distributions about zero."""

    identity: np.ndarray  # [I, I] float32: of identities
    expression: np.ndarray  # [D, D] float32: of a clip's mean expression
