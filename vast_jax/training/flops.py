"""How much arithmetic a program asks for: multiplications and additions of its matrix products and convolutions."""

from collections.abc import Callable
from math import prod

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr


def products(function: Callable, *arguments) -> float:
    """Floating-point operations of the products of a call, two to each multiplication; of a loop those of all rounds.

    XLA's own count (`compiled.cost_analysis()`) takes a loop's body once, and on a CPU leaves out what a library does.
    What is computed again on the way back counts again.
    """
    return _of(jax.make_jaxpr(function)(*arguments).jaxpr)


def _of(jaxpr: Jaxpr) -> float:
    return sum(_of_equation(equation) for equation in jaxpr.eqns)


def _of_equation(equation) -> float:
    name, parameters = equation.primitive.name, equation.params
    if name == "dot_general":
        (contracted, _), _ = parameters["dimension_numbers"]
        return 2 * prod(equation.outvars[0].aval.shape) * prod(equation.invars[0].aval.shape[i] for i in contracted)
    if name == "conv_general_dilated":
        kernel, numbers = equation.invars[1].aval.shape, parameters["dimension_numbers"]
        outputs = prod(equation.outvars[0].aval.shape)
        each = prod(kernel) / kernel[numbers.rhs_spec[0]]  # of which a dilated input's zeros need no work
        return 2 * outputs * each / prod(parameters["lhs_dilation"])
    inner = [value for value in jax.tree.leaves(list(parameters.values())) if isinstance(value, ClosedJaxpr | Jaxpr)]
    rounds = parameters["length"] if name == "scan" else 1
    return rounds * sum(_of(value.jaxpr if isinstance(value, ClosedJaxpr) else value) for value in inner)
