"""What happens at a look: the file `asks.txt` of the project's folder says whether another guess is asked for."""

from __future__ import annotations

from oito.flow.site import Context, Made


def probe(context: Context) -> str:
    """Return what the file says."""
    path = context.path("asks.txt")
    return path.read_text() if path.exists() else ""


def make(context: Context) -> Made:
    """Return the verdict."""
    reason, guess = probe(context), context.version("at")
    return Made(record={"asks": {guess.asset: reason} if reason else {}, "of": guess.ref, "said": reason})
