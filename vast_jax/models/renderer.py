"""The renderer G (paper 3.4): mesh images, an eroded background and the PPG become frames of one person."""

import functools
from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from flax.typing import Initializer
from jaxtyping import Float

from vast_jax.face.mesh_image import MESH_CHANNELS, PART
from vast_jax.types import Array

REDUCTION = 8  # three stride-2 convolutions: height and width must be multiples of it

_UNROLLED = 8  # frames of the recurrence: in a loop XLA's CPU products are slower
_WITHIN = 0.98  # of [-1, 1], where arctanh is finite
_EDGE = 13  # pixels, twice as wide as the mesh's colours fade at its edge
Carry = tuple[Array, Array]


def leaky(x: Array) -> Array:
    return nn.leaky_relu(x, 0.2)


class ConvLSTM(nn.Module):
    """Convolutional LSTM (Shi et al., 2015): x_BxTxHxWxC and carry (c, h), each BxHxWxF, to h_BxTxHxWxF and carry.

    A 1x1 kernel is an LSTM per location, nine times cheaper than 3x3. The product with the input is taken for all
    frames at once: only the product with the state has to wait for the frame before.
    """

    features: int
    kernel: int = 1

    @nn.compact
    def __call__(self, x_BxTxHxWxC: Float[Array, "B T H W C"], carry: Carry) -> tuple[Array, Carry]:
        def product(name: str, use_bias: bool) -> nn.Module:
            if self.kernel == 1:  # as a matrix product: its gradient is many times faster on a CPU than a convolution's
                return nn.Dense(4 * self.features, use_bias=use_bias, name=name)
            return nn.Conv(4 * self.features, (self.kernel, self.kernel), use_bias=use_bias, name=name)

        def step(hidden: nn.Module, carry: Carry, gates: Array) -> tuple[Carry, Array]:
            c, h = carry
            i, f, g, o = jnp.split(gates + hidden(h), 4, axis=-1)
            c = nn.sigmoid(f + 1.0) * c + nn.sigmoid(i) * jnp.tanh(g)  # +1: remember at first
            h = nn.sigmoid(o) * jnp.tanh(c)
            return (c, h), h

        gates = product("input", use_bias=True)(x_BxTxHxWxC)
        hidden = product("hidden", use_bias=False)
        scan = nn.scan(
            step,
            variable_broadcast="params",
            split_rngs={"params": False},
            in_axes=1,
            out_axes=1,
            unroll=_UNROLLED,
        )
        carry, h = scan(hidden, carry, gates)
        return h, carry


class Up(nn.Module):
    """Doubles height and width: x_NxHxWxC -> Nx2Hx2WxF.

    "transposed" is the paper's 4x4 transposed convolution; "shuffle", a 3x3 convolution whose channels become pixels
    (Shi et al., 2016), reaches the same pixels and trains about three times faster on a CPU.
    """

    features: int
    kind: Literal["shuffle", "transposed"] = "shuffle"
    kernel_init: Initializer = nn.initializers.he_normal()

    @nn.compact
    def __call__(self, x: Array) -> Array:
        if self.kind == "transposed":
            return nn.ConvTranspose(self.features, (4, 4), (2, 2), kernel_init=self.kernel_init, name="transposed")(x)
        n, h, w, _ = x.shape
        x = nn.Conv(4 * self.features, (3, 3), kernel_init=self.kernel_init, name="shuffle")(x)
        x = x.reshape(n, h, w, 2, 2, self.features).transpose(0, 1, 3, 2, 4, 5)
        return x.reshape(n, 2 * h, 2 * w, self.features)


class Renderer(nn.Module):
    """U-Net of three convolutions down and two up with a sub-pixel head, PPG fusion and ConvLSTM at the bottleneck.

    The skips are added, not concatenated: half the products where the frames are largest.
    Normalised, if at all, per frame and never over time, so a frame depends on the frames before it through the carry
    alone and a sequence may be cut anywhere. Any height and width that are multiples of 8 (ValueError otherwise).
    """

    widths: tuple[int, int, int] = (32, 64, 128)  # channels at 1/2, 1/4 and 1/8; the paper-sized preset doubles them
    ppg_features: int = 64
    recurrence_kernel: int = 1
    upsampling: Literal["shuffle", "transposed"] = "shuffle"
    normalised: bool = False  # by instance, over a whole frame; without, a pixel depends on what is around it alone
    textured: bool = False  # the mesh image has the person's own colours: the network adds what they lack

    def initial_carry(self, batch: int, height: int, width: int) -> Carry:
        """Zeros (c, h), each [batch, height / 8, width / 8, widths[2]]."""
        zeros = jnp.zeros((batch, height // REDUCTION, width // REDUCTION, self.widths[2]))
        return zeros, zeros

    @nn.compact
    def __call__(
        self,
        mesh_BxTxHxWxM: Float[Array, "B T H W M"],
        background_BxTxHxWx3: Float[Array, "B T H W 3"],
        hole_BxTxHxWx1: Float[Array, "B T H W 1"],
        ppg_BxTxKxA: Float[Array, "B T K A"],
        carry: Carry | None = None,
    ) -> tuple[Array, Carry]:
        """Renders frames BxTxHxWx3 in [-1, 1] and returns the carry for the frames that follow.

        Inputs: mesh image of M channels (`face.mesh_image`) and eroded background in [-1, 1], hole in {0, 1}, PPG
        window of K frames around each frame.
        """
        b, t, height, width, _ = mesh_BxTxHxWxM.shape
        if height % REDUCTION or width % REDUCTION:
            raise ValueError(f"height and width must be multiples of {REDUCTION}, not {height} x {width}")
        carry = self.initial_carry(b, height, width) if carry is None else carry
        w1, w2, w3 = self.widths
        conv = functools.partial(nn.Conv, kernel_init=nn.initializers.he_normal())

        def norm(x: Array, name: str) -> Array:
            return leaky(nn.InstanceNorm(name=name)(x) if self.normalised else x)

        x = jnp.concatenate([mesh_BxTxHxWxM, background_BxTxHxWx3, hole_BxTxHxWx1], axis=-1)
        x = x.reshape(b * t, height, width, -1)
        half = leaky(conv(w1, (4, 4), (2, 2), name="down1")(x))  # not normalised: it carries the absolute levels
        quarter = norm(conv(w2, (4, 4), (2, 2), name="down2")(half), "down2_norm")
        x = norm(conv(w3, (4, 4), (2, 2), name="down3")(quarter), "down3_norm")

        ppg = leaky(nn.Dense(2 * self.ppg_features, name="ppg1")(ppg_BxTxKxA.reshape(b * t, -1)))
        ppg = leaky(nn.Dense(self.ppg_features, name="ppg2")(ppg))
        tiled = jnp.broadcast_to(ppg[:, None, None], (*x.shape[:-1], self.ppg_features))
        x = jnp.concatenate([x, tiled], axis=-1)
        for i in range(1, 5):
            x = norm(conv(w3, (3, 3), name=f"fuse{i}")(x), f"fuse{i}_norm")

        memory, carry = ConvLSTM(w3, self.recurrence_kernel, name="memory")(x.reshape(b, t, *x.shape[1:]), carry)
        x = x + memory.reshape(x.shape)  # the sum: the frame's own features need not pass through the gates

        x = norm(Up(w2, self.upsampling, name="up1")(x), "up1_norm")
        x = norm(Up(w1, self.upsampling, name="up2")(x + quarter), "up2_norm")
        x = Up(3, "shuffle", nn.initializers.zeros, name="head")(x + half)  # begins with the mesh's own colours
        if self.textured:
            mesh = mesh_BxTxHxWxM.reshape(b * t, height, width, -1)
            x = x + _inner(mesh[..., PART : PART + 1] > -1) * jnp.arctanh(_WITHIN * mesh[..., MESH_CHANNELS:])
        return jnp.tanh(x).reshape(b, t, height, width, 3), carry


def _inner(covered: Array) -> Array:
    """1 inside a mask [N, H, W, 1], 0 outside, smooth between: no line shows where the mesh ends."""
    around = covered.astype(jnp.float32)
    for window in ((_EDGE, 1), (1, _EDGE)):
        around = nn.avg_pool(around, window, padding="SAME")
    return jnp.where(covered, jnp.maximum(2 * around - 1, 0), 0)


def composite(generated: Array, template: Array, hole: Array) -> Array:
    """Puts the generated picture into the template's: [..., H, W, 3], hole [..., H, W, 1] in [0, 1] with a soft edge.

    Where the hole is 0 the template comes back bit for bit; where it is 1 nothing of it is left, not even in rounding.
    """
    return jnp.where(hole > 0, hole * generated + (1 - hole) * template, template)


def conditions(mesh: Array, frames: Array, hole: Array) -> tuple[Array, Array, Array]:
    """The renderer's pictures, [B, T, H, W, C] in [-1, 1]: mesh, eroded background, hole in {0, 1}.

    `hole` in [0, 1], [B, T, H, W, 1], has a soft edge outside; nothing of `frames` is seen where it is 1.
    """
    inside = jnp.broadcast_to(hole == 1, (*mesh.shape[:-1], 1)).astype(mesh.dtype)
    return mesh, frames * (1 - inside), inside
