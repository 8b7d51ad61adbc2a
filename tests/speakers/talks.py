"""Conversations made up for tests, from one word to a whole film."""

from __future__ import annotations

import random
from functools import cache

import cv2
import numpy as np

from vidfleet.speakers.data import Conversation, Line, Person, SaidWord, Turn, Word

SENTENCES = (
    "Well, I never thought that we would end up here of all places.",
    "Yes.",
    "He told me that the whole of the third floor had been painted over, twice, before anybody asked why.",
    "今日は雨が降りそうですね。傘を持って行きましょう。",
    "你昨天说的那件事，我后来想了很久，还是觉得不太对。",  # noqa: RUF001 - Chinese commas
    "어제 말한 그 일은 어떻게 됐어요?",
    "שלום, מה שלומך היום?",
    "هل رأيت ما حدث في الشارع أمس؟",
    "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft, as they say.",
    "Привет! Как дела?",
)
LANGUAGES = ("en", "en", "en", "ja", "zh", "ko", "he", "ar", "de", "ru")


def said(
    text: str,
    person: str | None,
    start_s: float,
    *,
    language: str = "en",
    word_s: float = 0.3,
    confidence: float = 0.9,
) -> Line:
    """A line whose words follow each other; Chinese and Japanese have a word for every two characters."""
    words = text.split()
    if language in ("ja", "zh"):
        words = [text[at : at + 2] for at in range(0, len(text), 2)]
    return Line(
        person,
        tuple(
            SaidWord(Word(word, start_s + at * word_s, start_s + (at + 1) * word_s, 0.9), person, confidence)
            for at, word in enumerate(words)
        ),
        language,
    )


def conversation_of(
    lines: list[Line], *, persons: tuple[str, ...], words_from: str = "faster-whisper small"
) -> Conversation:
    """What follows from lines: a turn for each, persons with a track each."""
    turns = tuple(Turn(line.person, line.start_s, line.end_s) for line in lines)
    return Conversation(
        tuple(
            Person(name, (track,), sum(turn.end_s - turn.start_s for turn in turns if turn.person == name))
            for track, name in enumerate(persons)
        ),
        tuple(lines),
        turns,
        words_from,
    )


def talk(*, persons: int, duration_s: float, pause_s: float = 0.5, seed: int = 1) -> Conversation:
    """A film full of talk, in many scripts."""
    chance = random.Random(seed)
    names = tuple(f"Person_{number + 1}" for number in range(persons))
    lines: list[Line] = []
    time_s = 0.5
    while True:
        at = chance.choices(range(len(SENTENCES)), weights=(9, 5, 9, 1, 1, 1, 1, 1, 1, 1))[0]
        person = None if chance.random() < 0.08 else names[min(int(chance.expovariate(4 / persons)), persons - 1)]
        line = said(
            SENTENCES[at], person, time_s, language=LANGUAGES[at], confidence=chance.choice((0.4, 0.8, 0.95, 0.95))
        )
        if line.end_s > duration_s:
            return conversation_of(lines, persons=names)
        lines.append(line)
        time_s = line.end_s + chance.random() * 2 * pause_s


@cache
def drawn_face(seed: int) -> bytes:
    """A JPEG of 96 x 96 pixels that can be told from others."""
    colour = np.random.default_rng(seed).integers(60, 220, 3)
    picture = np.full((96, 96, 3), colour, np.uint8)
    cv2.circle(picture, (48, 50), 34, tuple(int(part) for part in 255 - colour // 3), cv2.FILLED)
    for x in (36, 60):
        cv2.circle(picture, (x, 42), 5, (30, 30, 30), cv2.FILLED)
    cv2.ellipse(picture, (48, 62), (14, 8), 0, 0, 180, (40, 40, 160), 3)
    return bytes(cv2.imencode(".jpg", picture)[1])


def drawn_faces(conversation: Conversation, *, each: int = 3) -> dict[str, list[bytes]]:
    return {
        person.name: [drawn_face(order * 10 + view) for view in range(each)]
        for order, person in enumerate(conversation.persons)
    }
