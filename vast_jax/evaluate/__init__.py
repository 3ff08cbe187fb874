"""Every metric as a report: `python -m vast_jax.evaluate`.

Videos are cropped to the face (`cropped_video`), measured one by one (`measuring`) and summed up (`summary`).
`held_out` first makes the videos of an avatar; `style_figures` measures styles before anything is rendered; `page`
shows it all.
"""
