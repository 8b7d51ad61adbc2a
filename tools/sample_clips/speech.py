"""Speech for the sample clips, from eSpeak NG as the wheel ``espeakng-loader`` carries it.

eSpeak NG is GPL-3 and is used here alone, through its C interface, to make the demo's sound; nothing of
vidfleet itself needs it (see THIRD-PARTY.md).
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import espeakng_loader
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SYNCHRONOUS = 2
"""``AUDIO_OUTPUT_SYNCHRONOUS``: the sound goes to our callback, nothing is played."""
DO_NOT_EXIT = 0x8000
"""``espeakINITIALIZE_DONT_EXIT``: give an error back instead of ending the process."""
BY_CHARACTER = 1
UTF_8 = 1
_TAKE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class Speech:
    """A voice synthesiser; one per process, because the library keeps its state in globals."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = str(espeakng_loader.get_data_path()).encode()
        self.rate: int = self._library.espeak_Initialize(SYNCHRONOUS, 0, data, DO_NOT_EXIT)
        """Samples per second of what :meth:`say` returns."""
        if self.rate <= 0:
            raise RuntimeError("eSpeak NG cannot read its data; reinstall the package espeakng-loader")
        self._parts: list[NDArray[np.int16]] = []
        self._taker = _TAKE(self._take)  # kept: the library holds no reference to it
        self._library.espeak_SetSynthCallback(self._taker)

    def say(self, text: str, *, voice: str) -> NDArray[np.float32]:
        """Speak ``text``; samples in -1..1. ``voice`` is such as ``en-us+f3``."""
        self._parts = []
        words = text.encode()
        self._library.espeak_SetVoiceByName(voice.encode())
        self._library.espeak_Synth(words, len(words) + 1, 0, BY_CHARACTER, 0, UTF_8, None, None)
        self._library.espeak_Synchronize()
        if not self._parts:
            raise RuntimeError(f"eSpeak NG says nothing with the voice {voice!r}")
        return (np.concatenate(self._parts) / 32768).astype(np.float32)

    def _take(self, samples: ctypes._Pointer[ctypes.c_short], count: int, _events: int | None) -> int:
        if samples and count:
            self._parts.append(np.ctypeslib.as_array(samples, (count,)).astype(np.int16))
        return 0
