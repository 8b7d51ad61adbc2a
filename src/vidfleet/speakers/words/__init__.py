"""Words with times, whoever said them.

::

    sound + speech ──regions──▶ whisper | sphinx ──spoken──┐
    film.json                        ──▶ whisperx ─────────┼──▶ Transcript
    film.srt, film.vtt, a subtitle stream ──▶ subtitles ──▶ cues

``choice`` decides once a run which of them it is; ``sidecar`` looks for files beside a video, and into it.
Nothing in here tells a spoken word to anybody: not in a log, not in an error's text.
"""
