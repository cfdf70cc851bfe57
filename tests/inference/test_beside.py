"""What is read ahead and written behind: the order, and where errors come up."""

import threading

import pytest

from attscale.inference.beside import Behind, ahead


def test_items_come_in_order_and_one_is_fetched_ahead():
    fetched, second = [], threading.Event()

    def items():
        for i in range(4):
            fetched.append((i, threading.current_thread()))
            if i == 1:
                second.set()
            yield i

    coming = ahead(items())
    assert fetched == []
    assert next(coming) == 0
    assert second.wait(10)  # while 0 is in use
    assert list(coming) == [1, 2, 3]
    assert [i for i, _ in fetched] == [0, 1, 2, 3]
    assert threading.main_thread() not in {thread for _, thread in fetched}
    assert list(ahead([])) == []


def test_what_fetching_raises_comes_in_its_place():
    def items():
        yield 1
        yield 2
        raise OSError("the third")

    seen = []
    with pytest.raises(OSError, match="the third"):
        seen.extend(ahead(items()))  # a list takes what there was
    assert seen == [1, 2]


def test_calls_are_made_in_order_by_a_thread():
    done = []
    with Behind() as behind:
        for i in range(5):
            behind.call(lambda number: done.append((number, threading.current_thread())), i)
    assert [number for number, _ in done] == [0, 1, 2, 3, 4]
    assert threading.main_thread() not in {thread for _, thread in done}


def refuse():
    raise OSError("the disk is full")


def calls(*functions, then=lambda: None):
    with Behind() as behind:
        for function in functions:
            behind.call(function)
        then()


def test_what_a_call_raises_is_raised_by_the_next_or_at_the_end():
    done = []
    with pytest.raises(OSError, match="the disk is full"):
        calls(refuse, lambda: done.append(1))
    assert done == []
    with pytest.raises(OSError, match="the disk is full"):
        calls(refuse)


def test_the_call_under_way_is_finished_whatever_happens_meanwhile():
    """An image that was computed is written, though the next one cannot be read, and of two errors that is told."""
    started, go_on, done = threading.Event(), threading.Event(), []

    def slowly():
        started.set()
        go_on.wait(10)
        done.append(1)

    def stop(error):
        started.wait(10)
        threading.Timer(0.05, go_on.set).start()
        raise error

    with pytest.raises(KeyboardInterrupt):
        calls(slowly, then=lambda: stop(KeyboardInterrupt()))
    assert done == [1]
    with pytest.raises(ValueError, match="the next image"):
        calls(refuse, then=lambda: stop(ValueError("the next image")))
