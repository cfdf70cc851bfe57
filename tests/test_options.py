import dataclasses

import pytest

from attscale.errors import UserError
from attscale.options import decode, encode


@dataclasses.dataclass(frozen=True)
class Options:
    size: int
    rate: float = 0.5
    names: tuple[str, ...] = ()
    limit: int | None = None
    fast: bool = False


def test_there_and_back():
    for options in (Options(3), Options(3, 2.0, ("a", "b"), 7, True)):
        assert decode(Options, encode(options)) == options
    assert encode(Options(3, limit=2)) == '{"size": 3, "limit": 2}'


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
        ("[1]", "expected a JSON object"),
        ("{'size': 1}", "is not JSON"),
        ("__import__('os').system('true')", "is not JSON"),
    ],
)
def test_what_does_not_fit_is_named(text, said):
    with pytest.raises(UserError, match=said.replace("(", r"\(").replace(")", r"\)").replace("[", r"\[")):
        decode(Options, text)
