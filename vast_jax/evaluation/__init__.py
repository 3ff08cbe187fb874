"""The whole evaluation: videos are looked at (`seen`), measured one by one (`measuring`), and summed up (`summary`).

`held_out` first makes the videos of an avatar; `style_figures` measures styles before anything is rendered; `page`
shows it all. `vast_jax.evaluate` is the command.
"""
