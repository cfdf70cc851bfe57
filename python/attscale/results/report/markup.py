"""HTML elements from Python: text is escaped, attributes are keywords."""

import html


class Markup(str):
    """Text that is HTML already; all other text is escaped when it becomes part of an element."""


def tag(name, /, *children, **attributes):
    """An element; `class_` is the attribute class. A child or attribute that is None or False is left out."""
    parts = [f"<{name}"]
    for key, value in attributes.items():
        key = key.rstrip("_").replace("_", "-")
        if value is True:
            parts.append(f" {key}")
        elif value is not None and value is not False:
            parts.append(f' {key}="{html.escape(clean(str(value)))}"')
    parts.append(">")
    parts += [child if isinstance(child, Markup) else html.escape(clean(str(child))) for child in _present(children)]
    if name not in ("img", "meta", "link"):
        parts.append(f"</{name}>")
    return Markup("".join(parts))


def _present(children):
    return [child for child in children if child is not None and child is not False]


def join(parts):
    return Markup("\n".join(parts))


def clean(text):
    """Without what UTF-8 cannot hold: names of files may have it."""
    return text.encode("utf-8", "replace").decode()


def note(text):
    return tag("p", text, class_="note")


def scroll(table, label):
    """A box that scrolls when its table is wider than the page, by keyboard too."""
    return tag("div", table, class_="scroll", role="region", aria_label=label, tabindex=0)


def data_table(caption, columns, rows, class_=None, numbers=()):
    """A table; the first text of each row is its header. numbers: the indices of columns aligned on the right."""
    kind = ["n" if index in numbers else None for index in range(len(columns))]
    header = [tag("th", text, scope="col", class_=kind[i]) for i, text in enumerate(columns)]
    body = [
        tag("tr", tag("th", row[0], scope="row"), *(tag("td", row[i], class_=kind[i]) for i in range(1, len(row))))
        for row in rows
    ]
    return tag(
        "table",
        tag("caption", caption, class_="hidden"),
        tag("thead", tag("tr", *header)),
        tag("tbody", join(body)),
        class_=class_,
    )
