"""tools/benchmark.py: a part in small, all parts where they are up to date, and errors of one line."""

import pytest

from attscale.bench.catalogue import ON_THE_CPU, PARTS
from attscale.errors import RunError
from attscale.machine import device
from attscale.results import benchmarks
from conftest import one_line_error
from helpers.results import write_benchmark


@pytest.fixture
def everything(tmp_path, monkeypatch):
    """A folder with every part's file, of the commit that the tool is told to be of."""
    monkeypatch.setenv("ATTSCALE_COMMIT", "abc1234")
    for part in ON_THE_CPU:
        write_benchmark(tmp_path / "kept", part)
    return tmp_path


def test_one_core_has_nothing_to_be_compared_with(tool, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    one_line_error(tool("benchmark", "threads", "--iterations", 1, "--rounds", 1), "there is one core")


def test_a_part_is_measured_printed_and_kept(tool, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    done = tool("benchmark", "threads", "--iterations", 1, "--rounds", 1, "--out", "kept")
    assert done.returncode == 0, done.stderr
    (measured,) = benchmarks.find([tmp_path / "kept"])
    (ratio,) = measured.findings.ratios
    assert ratio.name == "shapes_attention3_esupv, training step at 193, 2 cores"
    lines = done.stdout.splitlines()
    assert lines[2].startswith(f"| {ratio.name} | {ratio.texts[1]} | one core | ")
    assert lines[6].startswith("| threads | ")
    assert lines[7] == "kept/benchmark_threads.json"


@pytest.mark.slow
def test_on_the_cpu_at_65_pixels(tool, tmp_path):
    done = tool(
        "benchmark", "gpu", "--device", "cpu", "--crop", 65, "--image", 65, "--iterations", 1, "--rounds", 1,
        "--batch-size", 1, "--iter-size", 2, "--out", "kept",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (measured,) = benchmarks.find([tmp_path / "kept"])
    lines = done.stdout.splitlines()
    names = [line.split(" | ")[0] for line in lines[2:6]]
    assert names == [f"| {one.name}" for one in measured.findings.ratios]
    training, memory, inference, most = measured.findings.ratios
    # at least the 20.5 million parameters of LargeFOV, 4 bytes each; with gradients and history in training
    assert memory.beside_values[0] > 3 * 78
    assert most.beside_values[0] > 78
    assert min(one.ratios[0] for one in (training, memory, inference, most)) > 1  # three scales cost more than one
    assert inference.beside == "voc12_largefov, inference at 65"


def test_without_a_gpu_it_says_so(tool):
    try:
        device.demand((0,))
    except RunError as error:
        one_line_error(tool("benchmark", "gpu"), str(error))
    else:
        pytest.skip("there is a GPU")


def test_a_size_where_the_scales_do_not_line_up(tool):
    one_line_error(tool("benchmark", "step", "--crop", 64), "crop_size is 64, expected 32k + 1")


def test_parts_of_this_commit_are_not_measured_again(everything, tool):
    done = tool("benchmark", "all", "kept")
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert said == [*(f"kept/benchmark_{part}.json: is of commit abc1234" for part in ON_THE_CPU), "kept.md"]
    assert (everything / "kept.md").read_text().count("| loader | 3.50 images/s |") == len(ON_THE_CPU)


@pytest.mark.parametrize("commit", ["abc1230", "abc1234+"])
def test_a_part_of_another_commit_is_measured_and_its_failure_ends_it(commit, everything, tool, monkeypatch):
    """Here the measurement fails, for there is no Caffe."""
    (everything / "kept/benchmark_infer.json").unlink()
    old = benchmarks.read(everything / "kept/benchmark_step.json")
    monkeypatch.setenv("ATTSCALE_COMMIT", commit)
    monkeypatch.setenv("CAFFE_ROOT", str(everything))
    done = tool("benchmark", "all", "kept")
    assert done.returncode == 1
    first, last = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    assert "has no python/caffe" in first
    assert last == "error: step could not be measured; the parts before it are in kept, and stay"
    assert done.stdout.startswith(f"step, 1 of {len(ON_THE_CPU)}: {PARTS['step'].words}")
    assert benchmarks.read(everything / "kept/benchmark_step.json") == old
    assert not (everything / "kept.md").exists()


def test_the_page_of_a_damaged_file(everything, tool):
    (everything / "kept/benchmark_crf.json").write_text("{")
    one_line_error(tool("benchmark", "page", "kept"), "kept/benchmark_crf.json: ", "is not JSON")
    one_line_error(tool("benchmark", "page", "nowhere"), "nowhere: no such folder")


def test_help_has_an_example(tool):
    done = tool("benchmark", "peer", "--help")
    assert done.returncode == 0
    assert done.stdout.endswith(f"example:\n  python tools/benchmark.py peer {PARTS['peer'].example}\n")
    assert "--batch-size N" in done.stdout
