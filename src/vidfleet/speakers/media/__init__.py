"""Reading and writing of pictures and sound: everything behind it counts the 25 Hz grid.

::

    file ──container──▶ decoded frames ──pictures──▶ upright pictures ──source──▶ GridFrame, GridFrame, ...
      └────────────────────────sound──▶ audio.wav ──▶ Sound (read in slices)
                                                        └──▶ writers ──▶ .avi, .wav, .jpg

Zero of the clock is where the container's presentation starts: the earlier of the first picture and the first
sound, with edit lists and encoder priming applied. ``start`` finds it once, on opening; both sides use it.
"""

from vidfleet.speakers.media.key_frames import KeyFrame, find_key_frames
from vidfleet.speakers.media.sound import Sound, extract_sound, write_wav
from vidfleet.speakers.media.source import MediaInfo, VideoSource
from vidfleet.speakers.media.writers import AviWriter, add_sound, write_jpeg

__all__ = [
    "AviWriter",
    "KeyFrame",
    "MediaInfo",
    "Sound",
    "VideoSource",
    "add_sound",
    "extract_sound",
    "find_key_frames",
    "write_jpeg",
    "write_wav",
]
