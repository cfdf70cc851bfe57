import dataclasses

import pytest

from attscale.errors import UserError
from attscale.options import decode, encode, from_values


@dataclasses.dataclass(frozen=True)
class Options:
    size: int
    rate: float = 0.5
    names: tuple[str, ...] = ()
    limit: int | None = None
    fast: bool = False


@dataclasses.dataclass(frozen=True)
class Nested:
    inner: Options
    shares: dict[str, float | None]
    rows: tuple[tuple[str, int, tuple[float, ...]], ...] = ()
    made: dict[str, int] = dataclasses.field(default_factory=dict)


def test_there_and_back():
    for options in (Options(3), Options(3, 2.0, ("a", "b"), 7, True)):
        assert decode(Options, encode(options)) == options
    assert encode(Options(3, limit=2)) == '{"size": 3, "limit": 2}'


def test_nested_there_and_back():
    nested = Nested(Options(3, names=("a",)), {"x": 0.5, "y": None}, (("a", 1, (0.5,)), ("b", 2, ())))
    assert decode(Nested, encode(nested)) == nested
    assert decode(Nested, '{"inner": {"size": 1}, "shares": {"x": 1}}') == Nested(Options(1), {"x": 1.0})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"inner": {"sise": 1}}, "Options: unknown key 'sise'"),
        ({"inner": 1}, "Nested: inner is 1, expected a table of keys and values"),
        ({"shares": {"x": "a"}}, "Nested: shares.x is 'a', expected float"),
        ({"shares": {"x\ny": "a"}}, r"Nested: shares.x\\ny is 'a', expected float"),
        ({"rows": [["a", 1]]}, r"Nested: rows is \['a', 1\], expected \[str, int, \[float, ...\]\]"),
        ({"rows": [["a", 1, ["b"]]]}, "Nested: rows is 'b', expected float"),
    ],
)
def test_what_does_not_fit_is_named_in_the_depth(change, said):
    with pytest.raises(UserError, match=said):
        from_values(Nested, {"inner": {"size": 1}, "shares": {}, **change})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "'size' is missing"),
        ('{"size": 1, "sise": 2}', "unknown key 'sise'; it knows size, rate"),
        ('{"size": 1.5}', "size is 1.5, expected int"),
        ('{"size": true}', "size is True, expected int"),
        ('{"size": 1, "fast": 1}', "fast is 1, expected bool"),
        ('{"size": 1, "names": ["a", 2]}', "names is 2, expected str"),
        ('{"size": 1, "names": "a"}', "names is 'a'"),
        ('{"size": 1, "rate": NaN}', "rate is nan, expected float"),
        ('{"size": 1, "rate": -Infinity}', "rate is -inf, expected float"),
        ('{"size": 1, "rate": 1' + 400 * "0" + "}", "rate is 10000"),
        ('{"size": ' + 900 * "[" + 900 * "]" + "}", "size is [[[[[[["),
        (100000 * "[", "is not JSON"),
        ("[1]", "expected an object with keys, got [1]"),
        ("{'size': 1}", "is not JSON"),
        ("__import__('os').system('true')", "is not JSON"),
    ],
)
def test_what_does_not_fit_is_named(text, said):
    with pytest.raises(UserError, match=said.replace("(", r"\(").replace(")", r"\)").replace("[", r"\[")):
        decode(Options, text)


def test_an_error_is_one_line_whatever_the_names_in_it():
    assert str(UserError("a\nb.txt: no such file")) == "a b.txt: no such file"
