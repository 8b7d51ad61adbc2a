"""LR-ASD's scores in windows of six lengths, from features that are computed once.

A face goes through the network once, as if its whole stretch were one window. Windows begin and end on whole
seconds, and inside one only the first and last nine frames are others: convolutions over time see zeros beyond a
window's edge, two frames and one in each of three blocks. So at each whole second both kinds of frames are computed
as well, layer by layer, from those around them that no edge has changed::

    faces     | - - - - - -                    + differs from the stretch's: 3, 6, 9 frames from a window's first on
    block 1   | + + + - - - - - -              - does not: what the next block needs to see beside those
    block 2   | + + + + + + - - - - - -
    block 3   | + + + + + + + + +              and the same backwards, for the window that ends here

That is two fifths more than one window would take, instead of five times more: all six lengths have the same edges.

What a scorer wants of the network it says step by step (``Look``, ``Move``), so that several tracks can go through it
together (``go_together``). That is for a GPU: on a processor one track at a time is the fastest (decision 21).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vidfleet.speakers.nets.lr_asd import BLOCKS, FACE_RATE, FACE_SHAPES, MFCC_PER_FACE, WINDOWS_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vidfleet.speakers.nets.lr_asd import LrAsdNet

REACH = 9
"""Frames from a window's edge whose features differ: of the face 9, of the sound 6."""
NEEDED = 6
"""Frames that a block's motion sees around each that it gives, less that one."""
SHORTEST = 2 * REACH
"""The shortest window in which no frame sees both edges."""
HEARD_AT_ONCE = 6 * FACE_RATE
"""Keeps the sound encoder's memory small: its largest layer then takes 1 MB."""


@dataclass(frozen=True, slots=True)
class Look:
    """Wanted: :meth:`LrAsdNet.look`."""

    faces: NDArray[np.uint8]
    """(T, 112, 112)"""


@dataclass(frozen=True, slots=True)
class Move:
    """Wanted: :meth:`LrAsdNet.move`."""

    block: int
    frames: NDArray[np.float32]
    """(channels, T, pixels)"""
    before: bool
    after: bool


Steps = Generator[Look | Move, NDArray[np.float32], None]
"""What one track wants of the network, one after the other; it is sent the answers."""


def go_together(net: LrAsdNet, tracks: Sequence[Steps]) -> None:
    """Take all steps of several tracks; those that want the same are seen in one run of the network."""
    open_tracks = [(track, wish) for track in tracks if (wish := next(track, None)) is not None]
    while open_tracks:
        alike = defaultdict(list)
        for track, wish in open_tracks:
            alike[_kind(wish)].append((track, wish))
        open_tracks = []
        for group in alike.values():
            answers = _answer(net, [wish for _, wish in group])
            for (track, _), answer in zip(group, answers, strict=True):
                try:
                    open_tracks.append((track, track.send(answer)))
                except StopIteration:
                    continue


def _kind(wish: Look | Move) -> tuple[object, ...]:
    """What one run of the network can do together is equal in this."""
    if isinstance(wish, Look):
        return ("look", wish.faces.shape)
    return (wish.block, wish.frames.shape, wish.before, wish.after)


def _answer(net: LrAsdNet, wishes: Sequence[Look | Move]) -> NDArray[np.float32]:
    """For wishes of one kind: (batch, ...), each wish's own answer."""
    first = wishes[0]
    if isinstance(first, Look):
        return net.look(_together([wish.faces for wish in wishes if isinstance(wish, Look)]))
    frames = _together([wish.frames for wish in wishes if isinstance(wish, Move)])
    return net.move(first.block, frames, before=first.before, after=first.after)


def _together(arrays: list[NDArray[Any]]) -> NDArray[Any]:
    return arrays[0][None] if len(arrays) == 1 else np.stack(arrays)


class WindowScorer:
    """Scores a stretch of a track from whose start the windows count; takes its faces as they come.

    It keeps 1 KB of features of each face, and 4 MB of insides of the last ones, but no faces.
    """

    def __init__(self, net: LrAsdNet) -> None:
        self._net = net
        self.seen = 0
        """Faces taken so far."""
        self._tails = [_no_frames(block) for block in BLOCKS]
        """Of what goes into each block, the last six frames: where the next second goes on."""
        self._whole: list[NDArray[np.float32]] = []
        self._edges = _Edges()

    def see(self, faces: NDArray[np.uint8]) -> None:
        """Take the next second of faces, (25, 112, 112), after which more will come."""
        go_together(self._net, [self.seeing(faces)])

    def seeing(self, faces: NDArray[np.uint8]) -> Steps:
        """:meth:`see` step by step, for :func:`go_together`; nothing else may be asked until that is through."""
        if len(faces) != FACE_RATE:
            raise ValueError(f"{len(faces)} faces instead of the {FACE_RATE} of a second")
        return self._see(faces, last=False)

    def finish(self, faces: NDArray[np.uint8], mfcc: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """Take the last faces, at most 25, and return raw scores (T,) for each length in ``WINDOWS_S``.

        mfcc (4T, 13) are the cepstra of all that was seen. Windows follow one another from the start, the last is
        shorter; their scores are joined.
        """
        frames = self.seen + len(faces)
        if len(mfcc) != MFCC_PER_FACE * frames:
            raise ValueError(f"{frames} faces need {MFCC_PER_FACE * frames} cepstra, not {len(mfcc)}")
        if not frames:
            return tuple(np.zeros(0, np.float32) for _ in WINDOWS_S)
        go_together(self._net, [self._see(faces, last=True)])
        heard, heard_edges = _hear(self._net, mfcc)
        features = np.concatenate((heard, np.concatenate(self._whole)), axis=1)
        edges = heard_edges.beside(self._edges)
        return tuple(self._score(features, edges, length_s * FACE_RATE) for length_s in WINDOWS_S)

    def _see(self, faces: NDArray[np.uint8], *, last: bool) -> Steps:
        start = self.seen
        frames = (yield Look(faces)) if len(faces) else _no_frames(BLOCKS[0])
        inputs = []
        for block, tail in zip(BLOCKS, self._tails, strict=True):
            inputs.append(np.concatenate((tail, frames), axis=1))
            frames = yield Move(block, inputs[-1], before=not start, after=last)
        self._whole.append(frames)
        if start and len(faces):
            yield from self._see_edge(start, inputs)
        self._tails = [frames[:, -NEEDED:].copy() for frames in inputs]
        self.seen += len(faces)

    def _see_edge(self, second: int, inputs: list[NDArray[np.float32]]) -> Steps:
        """Compute what differs where a window ends and the next begins, of what goes into the blocks around it.

        The input of a block begins 6 frames before what it newly gives; it lags 3 frames more with each block.
        """
        looks = inputs[0][:, NEEDED:]
        self._edges.ended[second] = yield from _differing([frames[:, :NEEDED] for frames in inputs], before=False)
        if looks.shape[1] < SHORTEST:
            for block in BLOCKS:
                looks = yield Move(block, looks, before=True, after=True)
            self._edges.begun[second] = looks
        else:
            after = [frames[:, NEEDED * (1 + lag) : NEEDED * (2 + lag)] for lag, frames in enumerate(inputs)]
            self._edges.begun[second] = yield from _differing(after, before=True)

    def _score(self, features: NDArray[np.float32], edges: _Edges, length: int) -> NDArray[np.float32]:
        scores = []
        whole = len(features) - len(features) % length
        windows = [edges.window(features, start, start + length) for start in range(0, whole, length)]
        if windows:
            scores.append(self._net.detect(np.stack(windows)).reshape(-1))
        if whole < len(features):
            scores.append(self._net.detect(edges.window(features, whole, len(features))[None])[0])
        return np.concatenate(scores)


def _differing(
    beside: list[NDArray[np.float32]], *, before: bool
) -> Generator[Look | Move, NDArray[np.float32], NDArray[np.float32]]:
    """Features (9, 128) at one edge, from the six frames beside those that differ in what goes into each block."""
    differing = _no_frames(BLOCKS[0])
    for block, same in zip(BLOCKS, beside, strict=True):
        stretch = np.concatenate((differing, same) if before else (same, differing), axis=1)
        differing = yield Move(block, stretch, before=before, after=not before)
    return differing


class _Edges:
    """Features where windows begin and end inside a stretch, by the frame that the edge is before."""

    def __init__(self) -> None:
        self.begun: dict[int, NDArray[np.float32]] = {}
        """(9, C) from there; of a window too short for that, all its features."""
        self.ended: dict[int, NDArray[np.float32]] = {}
        """(9, C) up to there."""

    def beside(self, other: _Edges) -> _Edges:
        """Both features side by side."""
        both = _Edges()
        for edge in self.begun:
            both.begun[edge] = np.concatenate((self.begun[edge], other.begun[edge]), axis=1)
            both.ended[edge] = np.concatenate((self.ended[edge], other.ended[edge]), axis=1)
        return both

    def window(self, features: NDArray[np.float32], start: int, end: int) -> NDArray[np.float32]:
        """The features (end - start, C) of a window, from those of the stretch (T, C)."""
        window = features[start:end].copy()
        if start:
            begun = self.begun[start]
            window[: len(begun)] = begun
        if end < len(features):
            window[-REACH:] = self.ended[end]
        return window


def _hear(net: LrAsdNet, mfcc: NDArray[np.float32]) -> tuple[NDArray[np.float32], _Edges]:
    """The sound's features (T, 128) as of one window, and where windows begin and end."""
    frames = len(mfcc) // MFCC_PER_FACE

    def heard(start: int, end: int) -> NDArray[np.float32]:
        window: NDArray[np.float32] = net.hear(mfcc[None, MFCC_PER_FACE * start : MFCC_PER_FACE * end])[0]
        return window

    whole = []
    for start in range(0, frames, HEARD_AT_ONCE):
        end, first = min(start + HEARD_AT_ONCE, frames), max(start - REACH, 0)
        whole.append(heard(first, min(end + REACH, frames))[start - first :][: end - start])
    edges = _Edges()
    for second in range(FACE_RATE, frames, FACE_RATE):
        edges.ended[second] = heard(second - SHORTEST, second)[-REACH:]
        after = heard(second, min(second + SHORTEST, frames))
        edges.begun[second] = after[:REACH] if len(after) == SHORTEST else after
    return np.concatenate(whole), edges


def _no_frames(block: int) -> NDArray[np.float32]:
    """What goes into a block where there is nothing."""
    channels, pixels = FACE_SHAPES[block - 1]
    return np.zeros((channels, 0, pixels), np.float32)
