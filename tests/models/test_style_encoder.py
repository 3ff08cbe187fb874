import jax
import numpy as np
import pytest

from vast_jax.models.style_encoder import StyleEncoder

B, T, D, P = 3, 29, 7, 41


@pytest.fixture(scope="module", params=[False, True], ids=["last", "pooled"])
def encoder(request):
    module = StyleEncoder(channels=(16, 16, 24, 24), speech_width=8, state_width=12, pooled=request.param)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(B, T, D)).astype(np.float32)
    ppg = rng.dirichlet(np.ones(P), size=(B, T)).astype(np.float32)
    variables = jax.jit(module.init)(jax.random.key(0), x, ppg, np.ones((B, T), bool), np.ones(B, bool))
    assert set(variables) == {"params"}
    return jax.jit(lambda *a: module.apply(variables, *a)), x, ppg


@pytest.mark.parametrize(("length", "total"), [(1, T), (6, T), (15, T + 1)])
def test_padding_is_never_seen(encoder, length, total):
    apply, x, ppg = encoder
    known = np.array([True, True, False])
    alone = apply(x[:, :length], ppg[:, :length], np.ones((B, length), bool), known)
    garbage_x = np.full((B, total, D), np.nan, np.float32)
    garbage_ppg = np.full((B, total, P), 1e6, np.float32)
    garbage_x[:, :length], garbage_ppg[:, :length] = x[:, :length], ppg[:, :length]
    padded = apply(garbage_x, garbage_ppg, np.arange(total)[None].repeat(B, 0) < length, known)
    np.testing.assert_allclose(padded, alone, atol=2e-6)


def test_each_row_has_its_own_length(encoder):
    apply, x, ppg = encoder
    lengths = np.array([5, 29, 12])
    together = apply(x, ppg, np.arange(T) < lengths[:, None], np.ones(B, bool))
    for row, length in enumerate(lengths):
        all_so = apply(x, ppg, np.arange(T)[None].repeat(B, 0) < length, np.ones(B, bool))
        np.testing.assert_allclose(together[row], all_so[row], atol=2e-6)


def test_hidden_speech_is_not_looked_at(encoder):
    apply, x, ppg = encoder
    mask, rng = np.ones((B, T), bool), np.random.default_rng(1)
    other = rng.dirichlet(np.ones(P), size=(B, T)).astype(np.float32)
    hidden = [apply(x, a, mask, np.zeros(B, bool)) for a in (ppg, np.full_like(ppg, np.nan))]
    np.testing.assert_array_equal(*hidden)
    known = [apply(x, a, mask, np.ones(B, bool)) for a in (ppg, other)]
    assert np.abs(known[0] - known[1]).max() > 1e-4
    assert np.abs(known[0][:, :12]).max() <= 1
    if known[0].shape[1] > 12:
        np.testing.assert_allclose(known[0][:, 12:], np.concatenate([x.mean(1), x.std(1)], -1), atol=1e-3)
