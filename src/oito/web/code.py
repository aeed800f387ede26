"""Code with its words coloured by classes, so that a page needs no script for it. Prose is not read here."""

from markupsafe import Markup, escape

_LANGUAGES = frozenset({"python", "sql", "json", "toml", "yaml", "bash", "diff", "ini", "pytb"})


def highlighted(text: str, language: str) -> Markup:
    """Return `text` with `<span class="k">` and the like around its words; an unknown language stays plain.

    Example:
        >>> print(highlighted("select 1", "sql"))
        <span class="k">select</span><span class="w"> </span><span class="mi">1</span>
        >>> print(highlighted("<b>", "klingon"))
        &lt;b&gt;
    """
    if language.lower() not in _LANGUAGES:
        return escape(text)
    from pygments import highlight  # late: only pages with code pay for it
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import get_lexer_by_name

    lexer = get_lexer_by_name(language.lower(), stripnl=False, ensurenl=False)
    return Markup(highlight(text, lexer, HtmlFormatter(nowrap=True)).rstrip("\n"))
