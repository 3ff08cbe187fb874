"""python -m vast_jax: lists the commands."""

import sys

from vast_jax import __version__, cli

COMMANDS = {  # name of its script in an installed package: (its module, what it does)
    "vast-infer": ("vast_jax.infer", "an avatar speaks your words in a prompt's facial style"),
    "vast-train": ("vast_jax.training.loop", "trains a part: a renderer of your avatar, style, acoustic model"),
    "vast-prepare": ("vast_jax.prepare", "footage to training data, tracked, cropped and reported"),
    "vast-label": ("vast_jax.label", "speech to phones, to train the acoustic model"),
    "vast-synthesis": ("vast_jax.synthesis", "talking heads of people who do not exist, with exact truth"),
    "vast-evaluate": ("vast_jax.evaluate", "every metric of the paper, as a report"),
    "vast-ablation": ("vast_jax.ablation", "what the pieces of style transfer are worth (the paper's Table 3)"),
    "vast-mos": ("vast_jax.mos", "a blinded viewing test with people"),
    "vast-hear": ("vast_jax.hear", "what the acoustic model hears, as phones and a picture"),
    "vast-curves": ("vast_jax.curves", "a video or style as curves for Blender, Unreal and others"),
    "vast-share": ("vast_jax.share", "packs, inspects, verifies and fetches avatars, weights and styles"),
    "vast-benchmark": ("vast_jax.benchmark", "milliseconds a frame of every stage, on this machine"),
}


def main() -> None:
    """The command."""
    cli.tell_version(sys.argv[1:])
    print(f"vast_jax {__version__}. Commands, each with --help:\n")
    for script, (module, what) in COMMANDS.items():
        print(f"  {script:<15} python -m {module:<23} {what}")
    print("\nIn a clone also: python infer.py, python train.py.")


if __name__ == "__main__":
    main()
