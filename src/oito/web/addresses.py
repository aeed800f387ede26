"""Which addresses a page may lead to: paths of this same site. Building addresses is done by whoever makes the page."""


def is_safe(to: str) -> bool:
    """Return whether `to` stays on this site: a path that starts with one `/`, or a `#` anchor.

    Browsers drop tabs and line ends inside an address and read `\\` as `/`, so a text with any of these is refused.

    Example:
        >>> is_safe("/assets/flights"), is_safe("#checks"), is_safe("//evil.example"), is_safe("javascript:alert(1)")
        (True, True, False, False)
    """
    if any(ord(sign) <= 0x20 or sign == "\\" for sign in to):
        return False
    return to.startswith("#") or (to.startswith("/") and not to.startswith("//"))
