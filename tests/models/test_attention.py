import jax
import jax.numpy as jnp
import numpy as np

from vast_jax.models.attention import LocalAttention, alibi


def test_blockwise_attention_is_banded_attention():
    heads, window, time, width = 4, 4, 14, 16
    module = LocalAttention(heads, window, window, "alibi", block=window)
    x = jax.random.normal(jax.random.key(0), (1, time, width))
    variables = module.init(jax.random.key(1), x, jnp.ones((1, time), bool))
    params = variables["params"]
    qkv = (x[0] @ params["qkv"]["kernel"] + params["qkv"]["bias"]).reshape(time, 3, heads, width // heads)
    q, k, v = np.moveaxis(np.asarray(qkv), 1, 0)
    distance = np.arange(time)[None] - np.arange(time)[:, None]
    slopes = np.array([2.0**-4, 2.0**-8])
    outputs = []
    for head in range(heads):
        seen = (distance <= 0 if head < 2 else distance >= 0) & (np.abs(distance) <= window)
        logits = q[:, head] @ k[:, head].T / 2 - slopes[head % 2] * np.abs(distance)
        weights = jax.nn.softmax(np.where(seen, logits, -np.inf))
        outputs.append(weights @ v[:, head])
    oracle = np.concatenate(outputs, -1) @ params["out"]["kernel"] + params["out"]["bias"]
    np.testing.assert_allclose(module.apply(variables, x, jnp.ones((1, time), bool))[0], oracle, atol=1e-5)


def test_alibi_tells_past_from_future():
    bias = alibi(4, 3, 3)
    assert bias.shape == (4, 7)
    assert (bias[0][bias[0] > -1e8] <= 0).all()
    assert bias[0, 2] > -1e8 > bias[0, 4]  # one frame back is seen, one ahead is not
    assert bias[2, 4] > -1e8 > bias[2, 2]
