"""PocketSphinx hears what a grammar allows, and says what is wrong with a grammar."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vidfleet.errors import SetupError
from vidfleet.speakers.media import VideoSource, extract_sound
from vidfleet.speakers.speech import VoiceActivity
from vidfleet.speakers.words import sphinx as module
from vidfleet.speakers.words.sphinx import Sphinx

if TYPE_CHECKING:
    from pathlib import Path

GRID = """#JSGF V1.0;
grammar grid;
public <sentence> = <command> <colour> <preposition> <letter> <digit> <adverb>;
<command> = bin | lay | place | set;
<colour> = blue | green | red | white;
<preposition> = at | by | in | with;
<letter> = a | b | c | d | e | f | g | h | i | j | k | l | m | n | o | p | q | r | s | t | u | v | x | y | z;
<digit> = zero | one | two | three | four | five | six | seven | eight | nine;
<adverb> = again | now | please | soon;
"""
SAID = {
    "grid_bbaf2n": "bin blue at f two now",
    "grid_brbk7n": "bin red by k seven now",
    "grid_lbax4n": "lay blue at x four now",
    "grid_sbia1a": "set blue in a one again",
    "grid_swiz3n": "set white in z three now",
}


@pytest.fixture(autouse=True)
def installed() -> None:
    pytest.importorskip("pocketsphinx", reason="the extra vidfleet[sphinx] is not installed")


@pytest.fixture
def grammar(tmp_path: Path) -> Path:
    path = tmp_path / "grid.jsgf"
    path.write_text(GRID)
    return path


def test_with_a_grammar_most_words_are_right_and_lie_in_the_speech(media: Path, grammar: Path, tmp_path: Path) -> None:
    sphinx, activity = Sphinx(grammar=grammar), VoiceActivity()
    right = 0
    for clip, said in SAID.items():
        path = media / f"{clip}.mpg"
        sound = extract_sound(path, tmp_path / "sound.wav", zero=VideoSource.open(path).zero)
        assert sound is not None
        speech = activity.find(sound)
        words = [word for s in sphinx.transcribe(sound, speech).sentences for word in s.words]
        right += sum(word.text == true for word, true in zip(words, said.split(), strict=True))
        assert words[0].start_s == pytest.approx(speech[0].start_s, abs=0.25)
        assert words[-1].end_s == pytest.approx(speech[-1].end_s, abs=0.25)
    assert right >= 25, "of 30"


@pytest.mark.parametrize("text", ["no grammar at all", GRID.replace("zero", "zerrro")])
def test_a_grammar_that_cannot_be_used_is_refused_by_name(grammar: Path, text: str) -> None:
    grammar.write_text(text)
    with pytest.raises(SetupError, match=r"(?s)refuses the grammar .*grid\.jsgf.*dictionary"):
        Sphinx(grammar=grammar)


def test_the_record_names_version_model_and_grammar(grammar: Path) -> None:
    plain, with_grammar = module.sphinx_method(None), module.sphinx_method(grammar)
    assert plain.name.startswith("pocketsphinx 5.")
    assert with_grammar.name == f"{plain.name} with grid.jsgf"
    assert plain.sha256 != with_grammar.sha256
    grammar.write_text(GRID.replace("soon", "later"))
    assert module.sphinx_method(grammar).sha256 != with_grammar.sha256
