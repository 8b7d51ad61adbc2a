"""Whom composites are made of: recordings of single people, and when they are heard speaking in them.

The table names clips of a folder of media that is not part of this repository; nothing of the clips is.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from vidfleet.speakers.data import GRID_RATE, SAMPLE_RATE, Span
from vidfleet.speakers.media import VideoSource, extract_sound
from vidfleet.speakers.speech import VoiceActivity

if TYPE_CHECKING:
    from collections.abc import Iterable

TALLEST_FACE_PX = 240
"""Pictures are kept no larger than this asks for."""
AROUND = 2.2
"""So many heights of the face are kept on either side of its middle."""
SPEECH_RMS = 0.06
"""All voices are made equally loud; 1 is full scale."""
GRID_SHARES = (0.185, 0.17, 0.10, 0.125, 0.18, 0.24)
"""How the six words of a GRID sentence share its time: the mean of a forced alignment of five sentences.

Word borders are within 0.1 s of that alignment's, but for one of 0.15 s."""
FILLER_WORD_S = 0.32
"""Where it is not known what somebody says, a made-up word stands for each so many seconds."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A stretch of a clip with one voice, and one face unless it is only heard."""

    clip: str
    """File name in the folder of media."""
    start_s: float
    end_s: float
    face: tuple[int, int, int] | None
    """Its middle (x, y) and height in pixels of the upright picture; nothing: only heard."""
    columns: tuple[int, int] | None = None
    """All that is used of a wider picture."""
    text: str = ""
    """What is said, word for word; nothing: not known."""


@dataclass(frozen=True, slots=True)
class Talker:
    """Somebody, in one or more recordings (at least 3 s apart where they are of one clip)."""

    name: str
    recordings: tuple[Recording, ...]
    speaks: bool = True
    """Listens only, where not."""


def _grid(clip: str, face: tuple[int, int, int], text: str) -> Talker:
    return Talker(f"grid_{clip}", (Recording(f"grid_{clip}.mpg", 0, 3, face, text=text),))


FIT_PEOPLE = (
    _grid("bbaf2n", (153, 171, 155), "bin blue at f two now"),
    _grid("lbax4n", (185, 159, 177), "lay blue at x four now"),
    _grid("swiz3n", (167, 159, 164), "set white in z three now"),
    Talker(
        "latentsync",
        (
            Recording("latentsync_demo1.mp4", 0.0, 3.3, (595, 740, 255)),
            Recording("latentsync_demo1.mp4", 6.5, 9.96, (575, 750, 252)),
        ),
    ),
    Talker(
        "retalking4",
        (
            Recording("retalking_face4.mp4", 0.0, 1.9, (405, 245, 285)),
            Recording("retalking_face4.mp4", 4.9, 6.6, (372, 230, 278)),
        ),
    ),
    Talker(
        "liveportrait_d18",
        (
            Recording("liveportrait_d18.mp4", 0.0, 2.0, (243, 270, 325)),
            Recording("liveportrait_d18.mp4", 5.5, 7.1, (243, 255, 325)),
        ),
        speaks=False,
    ),
)
TEST_PEOPLE = (
    _grid("brbk7n", (171, 182, 155), "bin red by k seven now"),
    _grid("sbia1a", (183, 168, 148), "set blue in a one again"),
    Talker(
        "grid_x",
        (
            Recording("grid_2people_turns_cut.mp4", 0, 3, (317, 310, 285), (0, 640), "set white with p two soon"),
            Recording("grid_2people_turns_cut.mp4", 6, 9, (652, 248, 428), text="place white in j three please"),
        ),
    ),
    Talker(
        "liveportrait_d20",
        (
            Recording("liveportrait_d20.mp4", 0.4, 2.4, (238, 235, 250)),
            Recording("liveportrait_d20.mp4", 5.4, 6.96, (213, 170, 265)),
        ),
    ),
    Talker("retalking2", (Recording("retalking_face2.mp4", 0.0, 2.5, (398, 420, 412)),)),
    Talker(
        "liveportrait_s18",
        (
            Recording("liveportrait_s18.mp4", 0, 3, (755, 255, 305)),
            Recording("liveportrait_s18.mp4", 6.2, 9.2, (707, 252, 302)),
        ),
        speaks=False,
    ),
)
"""No one of these is in the other table, so what was fitted there may be measured here."""
MAKES_FACES = Talker(
    "liveportrait_d18_faces", (Recording("liveportrait_d18.mp4", 0.0, 7.1, (243, 265, 325)),), speaks=False
)
"""Opens the mouth wide for seconds, twice, and says nothing."""
FIT_VOICES = (
    Talker("jfk", (Recording("whisper_jfk.flac", 0.1, 2.4, None, text="And so my fellow Americans"),)),
    Talker("interview_late", (Recording("visualvoice_interview.mp4", 11.1, 14.0, None),)),
)
TEST_VOICES = (
    Talker("jfk_late", (Recording("whisper_jfk.flac", 8.1, 10.6, None, text="ask what you can do for your country"),)),
    Talker("interview_early", (Recording("visualvoice_interview.mp4", 8.1, 10.8, None),)),
)
"""Heard, never seen."""


@dataclass(frozen=True, slots=True)
class SaidWord:
    """A word in a recording, on the recording's own clock."""

    text: str
    start_s: float
    end_s: float
    is_known: bool
    """Not so where a made-up word stands for what was said then."""


@dataclass(frozen=True, slots=True)
class Footage:
    """A recording, read. Its clock starts where the recording does."""

    pictures: tuple[NDArray[np.uint8], ...]
    """25 a second, BGR; none where it is only heard."""
    face: tuple[float, float, float]
    """Middle and height, in pixels of ``pictures``."""
    sound: NDArray[np.float32]
    """16 kHz mono, as loud as all others."""
    speech: tuple[Span, ...]
    words: tuple[SaidWord, ...]

    @property
    def length_s(self) -> float:
        """How long it is."""
        return len(self.sound) / SAMPLE_RATE

    @property
    def talk(self) -> Span:
        """From a little before the first speech to a little after the last."""
        first, last = self.speech[0].start_s - 0.2, self.speech[-1].end_s + 0.2
        return Span(max(first, 0.0), min(last, self.length_s))

    def picture(self, time_s: float) -> NDArray[np.uint8]:
        """What shows at a time; the first and the last picture stay."""
        return self.pictures[int(np.clip(int(time_s * GRID_RATE + 1e-6), 0, len(self.pictures) - 1))]

    def rest(self) -> Span:
        """The longest stretch without speech; all of it where nobody speaks."""
        starts = [0.0, *(span.end_s + 0.1 for span in self.speech)]
        ends = [*(span.start_s - 0.1 for span in self.speech), self.length_s]
        return max(map(Span, starts, ends), key=lambda span: span.end_s - span.start_s)


class Library:
    """Reads recordings of a folder, each once."""

    def __init__(self, media: Path) -> None:
        self._media = media
        self._read: dict[Recording, Footage] = {}
        self._voice_activity = VoiceActivity()
        truth = media / "speech_truth.json"
        spans = json.loads(truth.read_text("utf-8"))["spans"] if truth.exists() else {}
        self._known = {clip: tuple(Span(*pair) for pair in pairs) for clip, pairs in spans.items()}

    def footage(self, recording: Recording) -> Footage:
        """Pictures, sound and speech of a recording."""
        if recording not in self._read:
            self._read[recording] = self._load(recording)
        return self._read[recording]

    def _load(self, recording: Recording) -> Footage:
        path = self._media / recording.clip
        zero = VideoSource.open(path).zero if recording.face else Fraction(0)
        with tempfile.TemporaryDirectory() as folder:
            track = extract_sound(path, Path(folder, "audio.wav"), zero=zero)
            first, last = (round(time * SAMPLE_RATE) for time in (recording.start_s, recording.end_s))
            samples = track.read(first, last) if track else np.zeros(last - first, np.int16)
            heard = self._known.get(recording.clip) or (self._voice_activity.find(track) if track else ())
        speech = tuple(_within(heard, recording))
        pictures, face = _pictures(path, recording) if recording.face else ((), (0.0, 0.0, 0.0))
        sound = _as_loud(samples, speech)
        return Footage(pictures, face, sound, speech, tuple(_words(recording, speech)))


def _within(heard: Iterable[Span], recording: Recording) -> Iterable[Span]:
    """What of the spans is in the recording, on its clock."""
    for span in heard:
        first, last = max(span.start_s, recording.start_s), min(span.end_s, recording.end_s)
        if last - first > 0.1:
            yield Span(round(first - recording.start_s, 3), round(last - recording.start_s, 3))


def _pictures(path: Path, recording: Recording) -> tuple[tuple[NDArray[np.uint8], ...], tuple[float, float, float]]:
    """The pictures around the face, and where it is in them."""
    assert recording.face is not None
    x, y, height = recording.face
    low, high = recording.columns or (0, 10**6)
    left, right = max(x - round(AROUND * height), low), min(x + round(AROUND * height), high)
    top, bottom = max(y - round(AROUND * height), 0), y + round(AROUND * height)
    scale = min(1.0, TALLEST_FACE_PX / height)
    found = []
    for frame in VideoSource.open(path).frames():
        if frame.index >= recording.end_s * GRID_RATE:
            break
        if frame.index >= recording.start_s * GRID_RATE:
            part = frame.bgr[top:bottom, left:right]
            found.append(cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
    return tuple(found), ((x - left) * scale, (y - top) * scale, height * scale)


def _as_loud(samples: NDArray[np.int16], speech: tuple[Span, ...]) -> NDArray[np.float32]:
    """The sound, as loud as all others where somebody speaks; silence where nobody does."""
    sound = (samples / 32768).astype(np.float32)
    parts = [sound[round(span.start_s * SAMPLE_RATE) : round(span.end_s * SAMPLE_RATE)] for span in speech]
    if not parts:
        return np.zeros_like(sound)
    rms = float(np.sqrt(np.mean(np.square(np.concatenate(parts)))))
    return np.asarray(np.clip(sound * (SPEECH_RMS / max(rms, 1e-6)), -0.9, 0.9), np.float32)


def _words(recording: Recording, speech: tuple[Span, ...]) -> Iterable[SaidWord]:
    """The known words, each with its share of the speech; or made-up ones."""
    texts = recording.text.split()
    if not texts:
        for number, span in enumerate(speech):
            count = max(1, round((span.end_s - span.start_s) / FILLER_WORD_S))
            edges = np.linspace(span.start_s, span.end_s, count + 1).tolist()
            for place in range(count):
                yield SaidWord(f"word{number}{place:02}", edges[place], edges[place + 1], is_known=False)
        return
    shares = np.array(GRID_SHARES if len(texts) == len(GRID_SHARES) else [1 + len(text) for text in texts])
    edges = (np.concatenate(([0.0], np.cumsum(shares))) / shares.sum()).tolist()
    first, length = speech[0].start_s, speech[-1].end_s - speech[0].start_s
    for text, low, high in zip(texts, edges, edges[1:], strict=False):
        yield SaidWord(text, first + low * length, first + high * length, is_known=True)
