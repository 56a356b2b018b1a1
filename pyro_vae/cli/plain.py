"""Docstrings as one reads them in a terminal: without markup."""

from __future__ import annotations

import re
import unicodedata


def plain(text: str) -> str:
    r"""Markup and LaTeX as plain text.

    >>> plain(r"the least :math:`\sigma_{\min}^2` of ``x``, see :func:`~pyro_vae.explain`")
    'the least σ_min^2 of x, see explain'
    """
    text = re.sub(r"\.\. math::\s*(.*)", lambda m: f"    {symbols(m[1])}", text)
    text = re.sub(r":math:`([^`]*)`", lambda m: symbols(m[1]), text)
    text = re.sub(r":\w+:`~?([^`]*)`", lambda m: m[1].rpartition(".")[2], text)
    text = re.sub(r"``([^`]*)``", r"\1", text)
    return re.sub(r"(?<!\w)\*([^*\s][^*]*)\*", r"\1", text)


def symbols(formula: str) -> str:
    r"""LaTeX as plain text, as far as it goes.

    >>> symbols(r"\log p(x) \ge \mathbb E_{q(z|x)}[\log p(x, z)] - \mathrm{KL}(q \,\|\, p)")
    'log p(x) ≥ E_q(z|x)[log p(x, z)] - KL(q || p)'
    >>> symbols(r"\left(1 + \frac{(x - \mu)^2}{\nu\sigma^2}\right)^{-\frac{\nu + 1}2}")
    '(1 + ((x - μ)^2)/(νσ^2))^(-(ν + 1)/2)'
    >>> symbols(r"\tfrac12 \frac\nu2 \frac1{2b}")
    '1/2 ν/2 1/(2b)'
    """
    formula = re.sub(rf"\\(?:{_SIZES})\b\s*", "", formula)
    formula = re.sub(r"\\[,;:! ]", " ", formula).replace(r"\|", "||")
    formula = re.sub(r"\\([{}_%&])", r"\1", formula.replace(r"\{", "⦃").replace(r"\}", "⦄"))
    before = ""
    while formula != before:
        before = formula
        for pattern, plainly in _INNERMOST:
            formula = re.sub(pattern, plainly, formula)
    formula = re.sub(r"\\([A-Za-z]+)", lambda m: _symbol(m[1]), formula)
    formula = re.sub(r"[{}&\\]", "", formula).replace("⦃", "{").replace("⦄", "}")
    return re.sub(r"\s+", " ", formula).strip()


_SIZES = "left|right|bigl?|bigr|Bigl?|Bigr|biggl?|biggr|displaystyle|limits|quad"
_FONTS = "mathbb|mathcal|mathrm|mathbf|text|operatorname|boldsymbol|begin|end"
_LEAF = r"\{([^{}]*)\}"
_ONE = r"\s*\w|\\[A-Za-z]+"
#: What a brace without braces in it stands for, after its command.
_INNERMOST = (
    (rf"\\(?:{_FONTS})\s*{_LEAF}", r"\1"),
    (rf"\\(?:{_FONTS})\s+(?=\w)", ""),
    (rf"\\[td]?frac{_LEAF}{_LEAF}", r"(\1)/(\2)"),
    (rf"\\[td]?frac{_LEAF}(\w)", r"(\1)/\2"),
    (rf"\\[td]?frac({_ONE}){_LEAF}", r"\1/(\2)"),
    (rf"\\[td]?frac({_ONE})({_ONE})", r"\1/\2"),
    (rf"\\(sqrt|hat|tilde|bar){_LEAF}", r"\1(\2)"),
    (r"\\(hat|tilde|bar)\s+(\w)", r"\1(\2)"),
    (rf"_{_LEAF}", r"_\1"),
    (r"\^\{(\w+)\}", r"^\1"),
    (rf"\^{_LEAF}", r"^(\1)"),
)
_SYMBOLS = {
    "ge": "≥",
    "geq": "≥",
    "le": "≤",
    "leq": "≤",
    "ne": "≠",
    "approx": "≈",
    "prod": "∏",
    "sum": "∑",
    "int": "∫",
    "sim": "~",
    "cdot": "·",
    "times": "×",
    "to": "→",
    "in": "∈",
    "infty": "∞",
    "partial": "∂",
    "nabla": "∇",
    "mid": "|",
    "Vert": "||",
    "dots": "...",
    "ldots": "...",
    "cdots": "...",
    "lfloor": "⌊",
    "rfloor": "⌋",
    "qquad": "  ",
}


def _symbol(name: str) -> str:
    if name in _SYMBOLS:
        return _SYMBOLS[name]
    size = "CAPITAL" if name[0].isupper() else "SMALL"
    try:
        return unicodedata.lookup(f"GREEK {size} LETTER {name.upper()}")
    except KeyError:
        return name
