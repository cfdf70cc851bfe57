"""What the benchmarks of speeds measure, tried in small."""

import pytest

from attscale.bench import speeds


def test_the_loader_stands_beside_as_many_readers():
    one, two = speeds.data_loading(count=4, rounds=1, seconds=0.2, crop=33, batch_size=2).ratios
    assert (one.name, one.beside) == ("loader, 1 worker", "cv2.imread, 1 process")
    assert (two.name, two.beside) == ("loader, 2 workers", "cv2.imread, 2 processes")
    assert all(rate > 1 for ratio in (one, two) for rate in (*ratio.values, *ratio.beside_values))
    assert (one.target, two.at_least) == (None, 0.7)


def test_readers_are_counted_together(monkeypatch):
    """Three processes read for as long, from one moment on: their rate is the sum."""
    calls = []

    def in_processes(function, jobs, number):
        calls.extend(jobs)
        return iter([10, 20, 30])

    monkeypatch.setattr(speeds.processes, "in_processes", in_processes)
    assert speeds.imread_rates(["a.jpg"], 0.5, 3) == 60
    assert [job[:2] for job in calls] == [(["a.jpg"], 0.5)] * 3
    assert len({job[2] for job in calls}) == 1


@pytest.mark.slow
def test_the_crf_in_two_processes_stands_beside_one():
    (ratio,) = speeds.crf_scaling(images=2, rounds=1).ratios
    assert (ratio.name, ratio.beside) == ("dense CRF, 2 processes", "1 process")
    assert min(*ratio.values, *ratio.beside_values) > 0


def test_loading_keeps_no_memory(tmp_path):
    """400 images in four steps: the last is hardly above the second."""
    memory = speeds.data_memory(images=400, batch_size=4, crop=65, steps=4)
    assert len(memory) == 4
    assert memory[-1] < 1.1 * memory[1]
