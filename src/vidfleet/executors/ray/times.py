"""Who waits how long for whom, so that a video never has two attempts at a time.

A node that cannot be reached may still work. So a lane ends what it runs when nobody has asked for news for
``LEASE_S``, and the runner, which cannot see that, tries the video elsewhere only when this must have happened. Lengths
of time only, each by one machine's own clock.
"""

from __future__ import annotations

HOLD_S = 5.0
"""So long a lane keeps a question for news, where it has none."""
LEASE_S = 25.0
"""After the last answer. Ray itself takes 12 to 16 s to notice that a node is dead."""
ENDS_S = 8.0
"""A guard whose worker hangs waits 4 s before it ends it."""
SURELY_OVER_S = HOLD_S + LEASE_S + ENDS_S
"""After the last question that was sent to a lane, nothing of it is left."""
