"""Bars on a terminal, lines elsewhere."""

import pytest
import tqdm.std

from attscale import progress


@pytest.fixture(params=["", "1"], ids=["file", "terminal"])
def terminal(request, monkeypatch):
    monkeypatch.setenv(progress.TERMINAL, request.param)
    monkeypatch.setattr(progress, "_EVERY", 0.2)
    return bool(request.param)


@pytest.fixture
def clock(monkeypatch):
    """[seconds], which pass only when a test says so; for tqdm and for us."""
    now = [0.0]
    for place in (tqdm.std, progress.time):
        monkeypatch.setattr(place, "time", lambda: now[0])
    return now


def test_a_log_holds_a_line_now_and_then(terminal, capsys, clock):
    with progress.Bar(total=30, desc="shapes", unit="it") as bar:
        for _ in range(30):
            clock[0] += 0.02
            bar.update()
        progress.say("in between")
    said = capsys.readouterr().err
    assert "in between\n" in said
    assert ("\r" in said) == terminal
    if not terminal:
        lines = [line for line in said.splitlines() if line != "in between"]
        assert len(lines) == 3  # after 0.2 and 0.4 s, and the last
        assert lines[-1].startswith("shapes: 100% 30/30 [00:0")
        assert len(set(lines)) == len(lines)


def test_a_part_of_something_larger_ends_without_a_line(terminal, capsys):
    assert list(progress.Bar(range(3), desc="val", leave=False)) == [0, 1, 2]
    assert ("val" in capsys.readouterr().err) == terminal


def test_a_bar_that_is_disabled_says_nothing(terminal, capsys):
    with progress.Bar(total=3, disable=True) as bar, bar.pause():
        bar.update()
    assert capsys.readouterr().err == ""


def test_a_pause_does_not_count(terminal, clock):
    with progress.Bar(total=10, smoothing=0) as bar:
        for number in range(10):
            clock[0] += 0.01
            bar.update()
            if number == 4:
                with bar.pause():
                    clock[0] += 0.5
        assert bar.format_dict["elapsed"] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("text", "is_line"),
    [
        ("shapes:  42%|####      | 10/24 [00:01<00:02,  5.00it/s, loss=1.2]", True),
        ("shapes:  42% 10/24 [1:00:01<00:02,  5.00it/s]", True),
        ("0it [00:00, ?it/s]", True),
        ("  0%|          | 0/24 [00:00<?, ?it/s]", True),
        ("shapes: no such file [Errno 2]", False),
        ("libpng error: bad CRC", False),
    ],
)
def test_lines_of_progress_are_known_again(text, is_line):
    assert progress.is_line(text) == is_line
