"""Lines that tell what a run does while it runs. The page at its end is terminal.py's work."""

import sys


def tell(asset: str, text: str) -> None:
    """Print one line of progress where a person sees it and a pipe does not.

    Of partitions, the whole tells how many are done; of each, only what went wrong is a line of its own.
    """
    if "[" in asset and not text.startswith(("failed", "broken", "attempt", "another")):
        return
    sys.stderr.write(f"  {asset:<24} {text}\n")
    sys.stderr.flush()
