"""Video and sound in and out: 25 frames a second, streaming. Only this folder touches ffmpeg."""

from vast_jax.audio import FPS as FPS
from vast_jax.media.ffmpeg import file_of as file_of
from vast_jax.media.reading import VIDEO_SUFFIXES as VIDEO_SUFFIXES
from vast_jax.media.reading import Sound as Sound
from vast_jax.media.reading import VideoInfo as VideoInfo
from vast_jax.media.reading import native_audio as native_audio
from vast_jax.media.reading import probe as probe
from vast_jax.media.reading import read_frames as read_frames
from vast_jax.media.reading import read_speech as read_speech
from vast_jax.media.reading import sound_of as sound_of
from vast_jax.media.reading import videos_in as videos_in
from vast_jax.media.writing import AI_GENERATED as AI_GENERATED
from vast_jax.media.writing import write_video as write_video
