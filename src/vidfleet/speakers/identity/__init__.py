"""Who is who: faces become vectors, vectors become persons, and people have the last word.

::

    Face ─▶ gallery (best views of a track) ─▶ embed ─▶ FaceVector ─▶ cluster ─▶ Person
                                                   people.json ─▶ held ──┘  └─▶ people.json
"""
