"""The page's style: style.css, and the shades of a confusion matrix."""

from importlib import resources


def style():
    css = resources.files(__package__).joinpath("style.css").read_text(encoding="utf-8")
    dark = _shades(lambda tenth: 9 * tenth + (15 if tenth >= 5 else 0) - (5 if tenth == 10 else 0), 5)
    light = _shades(lambda tenth: (10 if tenth >= 8 else 9) * tenth, 8)
    return f"{css}\n{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n"


def _shades(mix, strong):
    """Rules for the tenths of a confusion matrix: `mix` is a tenth's share of the accent in per cent.

    From the tenth `strong` on the text changes its colour: so its contrast stays above 4.5 everywhere.
    """
    rules = []
    for tenth in range(1, 11):
        color = "color: var(--on-strong); " if tenth >= strong else ""
        share = f"background: color-mix(in srgb, var(--accent) {mix(tenth)}%, var(--track));"
        rules.append(f".matrix td.q{tenth} {{ {color}{share} }}")
    return "\n".join(rules)
