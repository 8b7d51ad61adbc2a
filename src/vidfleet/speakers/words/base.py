"""What all sources of words have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from vidfleet.speakers.data import Method, Transcript

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vidfleet.speakers.data import Span
    from vidfleet.speakers.speech import SoundLike


class Transcriber(Protocol):
    """Finds the words of a film."""

    @property
    def method(self) -> Method:
        """What finds them; the SHA-256 is of a network's weights."""
        ...

    def transcribe(self, sound: SoundLike | None, speech: Sequence[Span]) -> Transcript:
        """The words of a film, in seconds on the grid's zero.

        ``sound`` is read in slices, so memory does not grow with its length; nothing where the film has no
        sound. ``speech`` says when somebody speaks, in order.
        """
        ...


SIDECAR_ENDINGS = (".json", ".srt", ".vtt")
"""Of the files that are looked for beside ``film.mp4``, in this order: the first knows each word's time."""
SIDECAR_METHOD = Method("subtitles", "")
"""Files beside the video, else a subtitle stream in it."""


class NoWords:
    """Finds none: the film is seen, and heard without being understood."""

    method = Method("none", "")

    def transcribe(self, sound: SoundLike | None, speech: Sequence[Span]) -> Transcript:  # noqa: ARG002
        """See :class:`Transcriber`."""
        return Transcript((), "")
