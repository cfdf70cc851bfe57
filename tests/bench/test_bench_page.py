"""docs/benchmarks.md: what is made of given measurements, and that it is what its files say."""

import pytest

from attscale.bench import page
from attscale.bench.catalogue import PARTS
from attscale.errors import UserError
from attscale.results.benchmarks import LayerTime, NetTime, Ratio
from conftest import REPO
from helpers.results import write_benchmark

SHARE = Ratio(
    name="waiting", values=(0.5, 0.25, 0.75), beside="step", beside_values=(50, 50, 50), unit="s", at_most=0.01
)
GAIN = Ratio(name="two", values=(3.0,), beside="one", beside_values=(2.0,), unit="steps/s", at_least=1.7)
HEAD = ["| what | median | beside | median | ratio | target | |", "|---|---|---|---|---|---|---|"]


def test_the_page_is_what_its_files_say():
    assert page.page(REPO / "docs/benchmarks") == (REPO / "docs/benchmarks.md").read_text(), (
        "python tools/benchmark.py page docs/benchmarks"
    )


def test_medians_ranges_and_targets(tmp_path):
    """0.5, 0.25 and 0.75 of 50 are 0.01, 0.005 and 0.015: the median is what was asked. 1.5 is less than 1.7."""
    measured = write_benchmark(tmp_path, "layers", [SHARE, GAIN], notes=("Two words.",))
    assert list(page.table(measured.findings, {GAIN.key: "Not yet."})) == [
        *HEAD,
        "| waiting | 0.500 s | step | 50.0 s | 0.0100 (0.00500 to 0.0150) | at most 0.0100 | met |",
        "| two | 3.00 steps/s | one | 2.00 steps/s | 1.50 | at least 1.70 | **MISSED** |",
        "",
        "- Two words.",
        "- two / one: Not yet.",
    ]


def test_without_a_target_there_is_no_verdict(tmp_path):
    measured = write_benchmark(tmp_path, "data")
    line = "| loader | 3.50 images/s | imread | 2.25 images/s | 1.55 (1.50 to 1.60) |  |  |"
    assert list(page.table(measured.findings)) == [*HEAD, line]


def test_a_net_by_layers(tmp_path):
    """2 GFLOP in 4, 10 and 20 ms are 500, 200 and 100 a second: of 1000, 500 and 250 a half, 0.4 and 0.4."""
    conv = LayerTime(
        name="conv", forward=(0.004, 0.01, 0.02), backward=(0.02,) * 3, forward_gflop=2.0, backward_gflop=4.0
    )
    relu = LayerTime(name="ReLU, 5 in all", forward=(0.001,) * 3, backward=(0.1234,) * 3)
    net = NetTime(title="some net", sgemm=(1000.0, 500.0, 250.0), layers=(conv, relu))
    lines = list(page.table(write_benchmark(tmp_path, "net", nets=(net,)).findings))
    assert lines[3:] == [
        "",
        "### some net",
        "",
        "A product of large matrices on as many threads: 500 (250 to 1000) GFLOP/s.",
        "",
        "| layer | forward, ms | GFLOP/s | of SGEMM | backward, ms | GFLOP/s | of SGEMM |",
        "|---|---|---|---|---|---|---|",
        "| conv | 10.0 | 200 | 0.400 | 20.0 | 200 | 0.400 |",
        "| ReLU, 5 in all | 1.00 |  |  | 123 |  |  |",
    ]


def test_a_page_of_some_parts(tmp_path):
    write_benchmark(tmp_path, "threads", [GAIN])
    write_benchmark(tmp_path, "step", [SHARE])
    (tmp_path / page.NOTES).write_text('[threads]\n"two / one" = "What it would take."\n[crf]\n"any" = "Later."\n')
    text = page.page(tmp_path)
    sections = dict(section.split("\n", 1) for section in text.split("\n## ")[1:])
    assert list(sections) == list(PARTS)
    assert "| waiting | 0.500 s |" in sections["step"]
    assert sections["threads"].strip().endswith("- two / one: What it would take.")
    assert sections["crf"].strip().endswith("Not measured yet.")
    machines = [line for line in text.split("\n## ")[0].splitlines() if line.startswith("| ")]
    assert machines[1:] == [
        f"| {part} | 2026-01-31 | abc1234 | AVX2 | 2 | 152 | caffe 1.0.0, numpy 2.2.6 |" for part in ("step", "threads")
    ]


@pytest.mark.parametrize(
    ("notes", "said"),
    [
        ('[speed]\n"two / one" = "x"\n', "speed is no part of the benchmark: step, infer"),
        ('threads = "x"\n', "threads is no part of the benchmark"),
        ('[threads]\n"three / one" = "x"\n', "threads: expected sentences by one of two / one, got 'three / one'"),
        ('[threads]\n"two / one" = 3\n', "threads: expected sentences"),
        ("[threads\n", "not readable"),
    ],
)
def test_notes_about_nothing_are_refused(tmp_path, notes, said):
    write_benchmark(tmp_path, "threads", [GAIN])
    (tmp_path / page.NOTES).write_text(notes)
    with pytest.raises(UserError) as caught:
        page.page(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / page.NOTES}: ")
    assert said in str(caught.value)
