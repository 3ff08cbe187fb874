import functools
import struct
from pathlib import Path

import jax
import numpy as np
import pytest
from random_params import random_weights

from vast_jax import audio
from vast_jax.models import attention
from vast_jax.models.acoustic_transformer import AcousticTransformer
from vast_jax.models.recogniser import Recogniser, load_acoustic
from vast_jax.parts import acoustic_start
from vast_jax.parts.acoustic import AcousticPart
from vast_jax.training.config import read_config
from vast_jax.types import UserError
from vast_jax.weights import exports

SMALL = dict(width=16, heads=2, hidden=24, back=3, ahead=(2, 1))


def features(frames: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((1, 2 * frames, audio.MELS)).astype(np.float32)


@pytest.fixture(scope="module")
def small():
    module = AcousticTransformer(**SMALL)
    params = random_weights(module, features(8), np.ones((1, 8), bool))["params"]
    return module, params, jax.jit(lambda x, mask: module.apply({"params": params}, x, mask))


def test_padding_does_not_matter(small):
    x = features(12)
    alone = small[2](x, np.ones((1, 12), bool))
    assert alone.shape == (1, 12, len(audio.PHONES))
    padded = np.concatenate([x, 1e3 * features(8, seed=1)], axis=1)
    np.testing.assert_allclose(small[2](padded, np.arange(20)[None] < 12)[:, :12], alone, atol=1e-4)


def test_no_logit_depends_on_frames_beyond_the_view(small):
    module, params, _ = small
    mask = np.ones((1, 24), bool)
    seen = jax.grad(lambda x: (module.apply({"params": params}, x, mask)[0, 12] ** 2).sum())(features(24))
    frames = np.flatnonzero(np.abs(seen[0]).sum(-1).reshape(24, 2).sum(-1))
    assert (frames[0], frames[-1]) == (12 - module.lookback, 12 + module.lookahead)


def test_pieces_are_the_whole(small):
    constants = {"mean": np.full(audio.MELS, -5.0, np.float32), "std": np.full(audio.MELS, 3.0, np.float32)}
    whole, pieces = (Recogniser(*small[:2], constants, hash="") for _ in range(2))
    pieces.SHORT, pieces.LONG = 20, 30
    signal = 0.1 * np.random.default_rng(0).standard_normal(60 * audio.SAMPLES_PER_FRAME).astype(np.float32)
    np.testing.assert_allclose(pieces.posteriors(signal), whole.posteriors(signal), atol=1e-4)


def test_blocks_attend_as_the_whole(small, monkeypatch):
    x, mask = features(40), np.arange(40)[None] < 37
    module, params, _ = small
    together = module.apply({"params": params}, x, mask)
    monkeypatch.setattr(attention, "BLOCK", 7)
    np.testing.assert_allclose(module.apply({"params": params}, x, mask), together, atol=1e-5)


def test_the_shipped_config_streams_and_ships(tmp_path):
    part = read_config(Path(__file__).parents[2] / "configs" / "acoustic.py").part
    module = part.module()
    # a frame ahead is seen by the convolutions: two steps of the spectrum, whose window ends 12.5 ms after its middle
    assert 20 * (module.lookahead - 1) + 10 + 12.5 <= 200
    params = random_weights(module, features(8), np.ones((1, 8), bool))["params"]
    path = exports.export(tmp_path, "acoustic", {"acoustic": params}, {}, np.dtype(part.stored))
    assert path.stat().st_size <= 8e6


def whisper(width: int, layers: int, hidden: int) -> dict[str, np.ndarray]:
    """Random weights under CTranslate2's names."""
    rng = np.random.default_rng(0)
    shapes = {"conv1/weight": (width, 80, 3), "conv2/weight": (width, width, 3)}
    shapes |= {"conv1/bias": (width,), "conv2/bias": (width,), "position_encodings/encodings": (1500, width)}
    for i in range(layers):
        for name, shape in (("linear_0", (3 * width, width)), ("linear_1", (width, width))):
            shapes |= {f"layer_{i}/self_attention/{name}/weight": shape}
            shapes |= {f"layer_{i}/self_attention/{name}/bias": shape[:1]}
        for name, shape in (("linear_0", (hidden, width)), ("linear_1", (width, hidden))):
            shapes |= {f"layer_{i}/ffn/{name}/weight": shape, f"layer_{i}/ffn/{name}/bias": shape[:1]}
        for name in ("self_attention", "ffn"):
            shapes |= {f"layer_{i}/{name}/layer_norm/{kind}": (width,) for kind in ("gamma", "beta")}
    return {
        f"encoder/{name}": (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
        for name, shape in shapes.items()
    }


def test_the_converted_model_computes_what_the_tool_does():
    """The tool's own numpy forward pass, with its bias by distance, against the module with the converted weights."""
    tool, part = acoustic_start, AcousticPart(network="transformer", hidden=48, back=5, layer_ahead=(2, 1))
    arrays = whisper(128, 2, 48)
    params = tool.convert(arrays, part)
    rng = np.random.default_rng(1)
    for layer in range(2):
        bias = params[f"attention_{layer}"]["bias"]
        params[f"attention_{layer}"]["bias"] = rng.standard_normal(bias.shape).astype(np.float32)
    params["position"] = arrays["encoder/position_encodings/encodings"].mean(0)
    params["Dense_4"]["kernel"] = np.eye(128, 41, dtype=np.float32)
    x = features(20)
    expected = tool._norm(tool._hidden(params, x[0], params["position"], part, 2, biased=True), params["LayerNorm_4"])
    module = AcousticTransformer(128, 2, 48, 5, (2, 1))
    logits = module.apply({"params": params}, x, np.ones((1, 20), bool))
    np.testing.assert_allclose(logits[0], expected[:, :41], atol=1e-4)


def test_the_teacher_is_whisper_and_hears_all():
    """Against the tool's numpy forward pass with the positions and without any bias or bound."""
    tool, part = acoustic_start, AcousticPart(network="transformer", hidden=48, back=60, layer_ahead=(60, 60))
    arrays = whisper(128, 2, 48)
    params = tool.teacher_of(arrays, part)
    positions = arrays["encoder/position_encodings/encodings"][:20]
    module = AcousticTransformer(width=128, heads=2, **tool.teacher_config(part))
    x = features(20)
    found = module.apply({"params": params}, x, np.ones((1, 20), bool), mutable=[module.LAYERS])[1]
    outputs = found[module.LAYERS]["outputs"]
    assert len(outputs) == 2
    plain = tool.convert(arrays, part)
    expected = tool._hidden(plain, x[0], positions, part, 2, biased=False)
    np.testing.assert_allclose(outputs[-1][0], expected, atol=1e-4)
    heard = functools.partial(
        module.apply, {"params": params}, mask_BxT=np.ones((1, 20), bool), mutable=[module.LAYERS]
    )
    first = jax.grad(lambda x: heard(x)[1][module.LAYERS]["outputs"][0][0, 0, 0])
    assert np.abs(first(x)[0, -1]).any()


def test_a_teacher_is_no_recogniser(tmp_path):
    tool, part = acoustic_start, AcousticPart(network="transformer", hidden=48, layer_ahead=(2,))
    config = {**tool.teacher_config(part), "network": "transformer", "width": 128, "heads": 2}
    weights = {"acoustic": tool.teacher_of(whisper(128, 1, 48), part), "constants": part.constants("")}
    exports.export(tmp_path, "acoustic", weights, {"part": "acoustic", "config": config})
    with pytest.raises(UserError, match="no acoustic model"):
        load_acoustic(tmp_path)


def test_inner_units_of_least_effect_are_dropped():
    tool, arrays = acoustic_start, whisper(128, 1, 48)
    arrays["encoder/layer_0/ffn/linear_1/weight"][:, 7] = 0
    full, less = (
        tool.convert(arrays, AcousticPart(network="transformer", hidden=n, layer_ahead=(2,))) for n in (48, 47)
    )
    np.testing.assert_array_equal(less["Dense_0"]["kernel"], np.delete(full["Dense_0"]["kernel"], 7, axis=1))
    np.testing.assert_array_equal(less["Dense_1"]["kernel"], np.delete(full["Dense_1"]["kernel"], 7, axis=0))


def test_positions_become_a_bias_by_distance():
    """Positions that all are the same have no effect; real ones prefer some distances, and the mean one stays."""
    tool, part = acoustic_start, AcousticPart(network="transformer", hidden=48, back=5, layer_ahead=(2,))
    arrays = whisper(128, 1, 48)
    signals = [0.1 * np.random.default_rng(2).standard_normal(tool.FRAMES * audio.HOP).astype(np.float32)]
    still = np.repeat(arrays["encoder/position_encodings/encodings"][:1], 1500, axis=0)
    params = tool.convert(arrays, part)
    tool.add_positions(params, still, part, signals)
    np.testing.assert_allclose(params["attention_0"]["bias"], 0, atol=1e-3)
    np.testing.assert_allclose(params["position"], still[0], atol=1e-5)
    angle = np.arange(1500)[:, None] / 10.0 ** (np.arange(64) / 16)
    params = tool.convert(arrays, part)
    tool.add_positions(params, np.concatenate([np.sin(angle), np.cos(angle)], 1).astype(np.float32), part, signals)
    bias = params["attention_0"]["bias"]
    assert bias.shape == (2, 8) and bias.max() == 0 and np.ptp(bias) > 0.02


def test_reading_ctranslate2(tmp_path):
    def text(word: str) -> bytes:
        return struct.pack("<H", len(word) + 1) + word.encode() + b"\0"

    values = np.arange(6, dtype="<f2").reshape(2, 3)
    array = text("encoder/a") + struct.pack("<BIIBI", 2, 2, 3, 4, 12) + values.tobytes()
    path = tmp_path / "model.bin"
    path.write_bytes(struct.pack("<I", 6) + text("WhisperSpec") + struct.pack("<II", 3, 1) + array)
    (name, back), *rest = acoustic_start.read_ctranslate2(path).items()
    assert name == "encoder/a" and not rest
    np.testing.assert_array_equal(back, values)
    path.write_bytes(struct.pack("<I", 6) + text("TransformerSpec") + struct.pack("<II", 3, 0))
    with pytest.raises(UserError, match="TransformerSpec"):
        acoustic_start.read_ctranslate2(path)
