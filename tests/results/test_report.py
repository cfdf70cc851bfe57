"""The page: every section, what nobody measured, nothing unescaped or from outside; and how Chromium shows it."""

import html
import html.parser
import json
import os
import re
import shutil

import pytest

from attscale.errors import UserError
from attscale.results import benchmarks, report
from attscale.results.benchmarks import Ratio
from attscale.results.report import curves
from conftest import one_line_error
from helpers.results import CLASSES, evaluation, log, write_benchmark, write_run

SECTIONS = [
    *("summary", "losses", "classes", "confusion", "sizes", "attention", "recalibration", "sheets", "crf", "speeds"),
    "paper",
]
ODD = "<script>alert(1)</script>&\"'"


@pytest.fixture
def full(tmp_path):
    """A folder of runs: one with everything, a large one with an odd name, one that was never scored."""
    runs = tmp_path / "runs"
    sizes = [[4, 8, 37, [0.98, 0.015, 0.005]], [64, 128, 5, [0.4, 0.55, 0.05]]]
    means = [[0.875, 0.25], [0.5, 0.5], [0.25, None], [None, 0.125], [0.75, 0.0625]]
    factors = dict(zip(CLASSES, means, strict=True))
    weights = f"runs/{ODD}/final.caffemodel"
    values = evaluation(images=1449, weights=weights, recalibration=factors)
    values |= {
        "attention_by_size": sizes,
        "iou_by_size": [[4, 8, 37, 0.25], [64, 128, 5, None]],
        "attention_by_class": {name: [0.5, 0.25, 0.25] for name in CLASSES} | {"square": None},
        "attention_by_height": [[0.75, 0.125, 0.125], None, [0.25, 0.25, 0.5], [0.125, 0.125, 0.75]],
    }
    whole = write_run(runs / "whole", values, log(), 7, ["attention.png", "sheet_0.png", "crf_1.png"])
    write_run(whole / "crf", evaluation(crf=True, mean_iou=0.7008))
    classes = ["background", "person", *(f"class {i} {ODD}" for i in range(79))]
    odd = runs / f"{ODD.replace('/', '_')}{'x' * 90}"
    write_run(odd, evaluation("coco", classes, mean_iou=0.3), log(20000), pictures=["attention.png"])
    write_run(runs / "unscored", records=[])
    ratio = Ratio(name=ODD, values=(1.5, 1.2, 1.8), beside="1 process", beside_values=(1, 0.6, 0.9))
    write_benchmark(runs, "crf", [ratio])
    return runs


class Parsed(html.parser.HTMLParser):
    """The page as tags, and the text of each section."""

    VOID = ("img", "meta", "link")

    def __init__(self, text):
        super().__init__()
        self.tags, self.sections, self.open = [], {}, []
        self.feed(text)
        self.close()

    def handle_starttag(self, name, attributes):
        attributes = dict(attributes)
        self.tags.append((name, attributes))
        if name == "section":
            self.sections[attributes["id"]] = ""
        if name not in self.VOID:
            self.open.append(name)

    def handle_endtag(self, name):
        assert self.open.pop() == name

    def handle_data(self, text):
        if "section" in self.open:
            section = list(self.sections)[-1]
            self.sections[section] += f" {text}"

    def all(self, name):
        return [attributes for tag, attributes in self.tags if tag == name]


def parsed(*folders):
    result = Parsed(report.page(report.find(folders), speeds=benchmarks.find(folders)))
    assert result.open == []
    return result


def squeezed(text):
    return " ".join(text.split())


def test_every_section_is_there_and_says_what_was_measured(full):
    page = parsed(full)
    sections = {key: squeezed(text) for key, text in page.sections.items()}
    assert list(sections) == SECTIONS
    for part in (f"{full}/whole", "69.08", "images 1,449, split val", "iterations 600", "seed 7", "not run scoring"):
        assert part in sections["summary"]
    assert "merged" in sections["losses"]
    assert sections["losses"].index("merged") < sections["losses"].index("scale 1") < sections["losses"].index("0.75")
    assert "background 97.00" in sections["classes"]
    assert "background 84 4 4 4 4 disc" in sections["confusion"]  # 105 and four times 5, of 125
    # 0.015 is a little less in binary, 0.005 a little more
    assert "4 to 8 37 25.00 0.98 0.01 0.01 64 to 128 5 - 0.40 0.55 0.05" in sections["sizes"]
    assert "disc 0.50 0.25 0.25 triangle 0.50 0.25 0.25 square - - - star" in sections["attention"]
    assert "0 to 25 0.75 0.12 0.12 25 to 50 - - - 50 to 75 0.25 0.25 0.50 75 to 100 0.12" in sections["attention"]
    assert "Not measured: only attention has weights" in sections["attention"]  # of the other runs
    # the largest difference first, and last what has none
    assert (
        "own others star 0.750 0.062 background 0.875 0.250 disc 0.500 0.500 triangle 0.250 - "
        "square - 0.125 What the scores" in sections["recalibration"]
    )
    assert "Not measured: only attention to refine has it" in sections["recalibration"]  # of the other runs
    assert "sheet_0.png" in sections["sheets"]
    assert "mean IOU 69.08 70.08 +1.00" in sections["crf"]
    assert "CRF: not run." in sections["crf"]  # of the other runs
    # rounds of 1.5 to 1, 1.2 to 0.6, 1.8 to 0.9
    assert f"{ODD} 1.50 images/s 1 process 0.900 images/s 2.00 (1.50 to 2.00) 2" in sections["speeds"]
    assert "w/ E-Supv 35.78 - 30.00 -5.78 " in sections["paper"]
    assert "w/ E-Supv 69.08 - not run - -" in sections["paper"]
    assert "w/ E-Supv 72.72 - 87.91" not in sections["paper"]
    assert sections["paper"].count("measured") - 1 == 10  # the legend has the word, too


def bars(folder):
    """The widths of the bars of a page's classes: two for each, the first on its pixels."""
    page = parsed(folder)
    begin = next(i for i, (_, attributes) in enumerate(page.tags) if attributes.get("id") == "recalibration")
    styles = [a["style"] for name, a in page.tags[begin:] if name == "span" and a.get("class") in ("s0", "s1")]
    return [float(style.removeprefix("width:").removesuffix("%")) for style in styles]


def test_factors_are_drawn_and_a_bias_is_written(full, tmp_path):
    assert bars(full / "whole") == [75, 6.25, 87.5, 25, 50, 50, 25, 0, 0, 12.5]
    means = {name: [0.5, -0.25] for name in CLASSES}
    bias = write_run(tmp_path / "bias", evaluation("shapes_refine2_esupv_bias", recalibration=means))
    assert bars(bias) == []
    assert "disc 0.500 -0.250" in squeezed(parsed(bias).sections["recalibration"])


def test_curves_of_all_heads(full):
    page = parsed(full / "whole")
    assert sum(name == "polyline" for name, _ in page.tags) == 4
    (label,) = [attributes["aria-label"] for attributes in page.all("svg") if "aria-label" in attributes]
    # means of what is shown: 30 records are a point each; 20 iterations: 2 / 1.2 and heads 0.05 apart
    assert label.startswith("Loss over 600 iterations: merged from 1.717 to 0.336, scale 1 from 1.667 to 0.286")
    assert curves.head_title("loss_res075") == "scale 0.75"
    assert curves.head_title("other") == "other"


def test_a_long_log_becomes_means(tmp_path):
    write_run(tmp_path / "r", records=log(20000, ["loss"]))
    page = parsed(tmp_path)
    (curve,) = page.all("polyline")
    points = curve["points"].split()
    assert len(points) == 112  # 1000 records by 9
    assert points[0].startswith("0.50,")  # 20 to 180: 100 of 20,000
    assert "a point is the mean of 9 records" in page.sections["losses"]


def test_sections_without_anything_say_so(tmp_path):
    write_run(tmp_path / "r", evaluation(matrix=None))
    sections = parsed(tmp_path).sections
    for key, said in {
        "losses": "No log.jsonl",
        "confusion": "No confusion matrix",
        "sizes": "Not measured",
        "sheets": "No pictures",
        "crf": "CRF: not run.",
    }.items():
        assert said in sections[key]


def test_sizes_of_a_net_without_attention(tmp_path):
    write_run(tmp_path / "r", evaluation("shapes_largefov", iou_by_size=[[4, 8, 37, 0.25], [64, 128, 5, 0.5]]))
    assert "size, pixels objects IOU, % 4 to 8 37 25.00 64 to 128 5 50.00 By" in squeezed(
        parsed(tmp_path).sections["sizes"]
    )


def test_no_runs_at_all(tmp_path):
    sections = parsed(tmp_path).sections
    assert list(sections) == SECTIONS
    assert "No runs" in sections["summary"]
    assert "0 of 14 measured" in sections["paper"]


def test_nothing_is_unescaped_or_from_outside(full):
    text = report.page(report.find([full]), title=ODD)
    page = Parsed(text)
    assert not page.all("script")
    assert html.unescape(re.search("<h1>(.*)</h1>", text)[1]) == ODD
    assert "://" not in re.sub(r"data:image/png;base64,[\w+/=]*", "", text)
    assert "@import" not in text
    assert "url(" not in text
    sources = [v for _, attributes in page.tags for k, v in attributes.items() if k in ("src", "srcset", "data")]
    assert len(sources) == 4
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    links = [attributes["href"] for attributes in page.all("a")]
    assert links == [f"#{key}" for key in ["summary", *SECTIONS]]
    (policy,) = [a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none';")


def test_it_is_accessible(full):
    page = parsed(full)
    assert page.all("html") == [{"lang": "en"}]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.all("meta")
    assert all(len(attributes["alt"]) > 20 for attributes in page.all("img"))
    assert all("aria-label" in a or a.get("aria-hidden") == "true" for a in page.all("svg"))
    assert all(attributes["scope"] in ("row", "col") for attributes in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table"))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("evaluation.json", "{", "not JSON"),
        ("evaluation.json", json.dumps(evaluation(mean_iou=69.08)), "mean_iou is 69.08"),
        ("log.jsonl", '{"losses": {"loss": 1}}\n', "not a record with its iteration"),
        ("log.jsonl", '{"iteration"\n{"iteration": 10}\n', "not a line of JSON"),
        ("run.json", '{"started": "now"}', "there is no 'options'"),
        ("attention.png", "GIF", "cannot identify image"),
    ],
)
def test_what_is_broken_is_named(tmp_path, name, content, said):
    run = write_run(tmp_path / "r", evaluation(), log())
    (run / name).write_text(content)
    with pytest.raises(UserError) as caught:
        report.page(report.find([tmp_path]))
    assert str(run / name) in str(caught.value)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_name_that_is_not_utf8(tmp_path):
    run = os.fsdecode(os.fsencode(tmp_path) + b"/r\xff")
    os.mkdir(run)
    with open(f"{run}/evaluation.json", "w") as file:
        json.dump(evaluation(), file)
    assert "/r?" in report.page(report.find([tmp_path])).encode().decode()


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("part",), 3, "part is 3, expected str"),
        (("machine", "cores"), "two", "Machine: cores is 'two'"),
        (("findings", "ratios", 0, "values"), "fast", "Ratio: values is 'fast'"),
        (("findings", "ratios", 0, "values"), [1.0], "loader / imread: expected as many values as of what it stands"),
        (("findings", "ratios", 0, "beside_values"), [1.0, 0.0], "loader / imread: expected as many values"),
    ],
)
def test_speeds_that_are_damaged(tmp_path, place, value, said):
    write_benchmark(tmp_path, "data")
    path = tmp_path / "benchmark_data.json"
    values = inner = json.loads(path.read_text())
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    path.write_text(json.dumps(values))
    with pytest.raises(UserError, match=rf"benchmark_data.json: .*{said}"):
        benchmarks.find([tmp_path])


def test_the_tool(full, tool):
    done = tool("report", "--title", "Ours & theirs")
    assert done.returncode == 0, done.stderr
    first, *scores = done.stdout.splitlines()
    assert first.startswith("report.html: runs 3, ")
    assert [line.split("   ")[0] for line in scores if "mean" in line] == ["mean IOU", "mean IOU"]
    assert [line.split()[3 if "CRF" in line else 2] for line in scores] == ["30.00", "70.08", "69.08"]
    text = (full.parent / "report.html").read_text()
    assert "<h1>Ours &amp; theirs</h1>" in text
    (full / "whole/evaluation.json").write_text('{"experiment": "shapes"}')
    one_line_error(tool("report", "runs", "--out", "second.html"), "whole/evaluation.json", "'images' is missing")
    assert not (full.parent / "second.html").exists()


@pytest.fixture(scope="module")
def chromium():
    """A headless Chromium of the system; skips where there is none."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no chromium here (apt-get install chromium)")
    api = pytest.importorskip("playwright.sync_api", reason="no playwright here (pip install -e .[dev])")
    with api.sync_playwright() as playwright:
        # Chromium's sandbox refuses to run as root, as in a container
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"] if os.geteuid() == 0 else [])
        yield browser
        browser.close()


# every element that reaches beyond the window and is not inside of a box that scrolls
_OUTSIDE = """() => [...document.querySelectorAll("body *")]
    .filter(e => !e.closest(".scroll > *, .hidden, .skip") && e.getBoundingClientRect().right > innerWidth)
    .map(e => e.outerHTML.slice(0, 80))"""

# the least contrast (WCAG) of text in the confusion matrix against its own field; colours are read off a canvas
_CONTRAST = """() => {
    const context = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
    const light = colour => {
        context.clearRect(0, 0, 1, 1); context.fillStyle = colour; context.fillRect(0, 0, 1, 1);
        const [r, g, b] = [...context.getImageData(0, 0, 1, 1).data].map(v => v / 255)
            .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    return [...Array(11).keys()].map(q => {
        const cell = document.querySelector(".matrix tbody td");
        cell.className = "q" + q;
        const style = getComputedStyle(cell);
        const [a, b] = [light(style.color), light(style.backgroundColor)].sort((x, y) => y - x);
        return (a + 0.05) / (b + 0.05);
    });
}"""


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(360, 740), (1200, 900)])
def test_in_chromium(full, chromium, width, height, scheme):
    path = full.parent / "report.html"
    path.write_text(report.page(report.find([full]), speeds=benchmarks.find([full])), encoding="utf-8")
    page = chromium.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    problems, requests = [], []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(path.as_uri(), wait_until="networkidle")
    assert [url for url in requests if not url.startswith(("data:", path.as_uri()))] == []
    assert problems == []
    page.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")
    for key in SECTIONS:
        section = page.locator(f"section#{key}")
        section.scroll_into_view_if_needed()
        assert section.is_visible()
        assert section.locator("h2").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate(_OUTSIDE) == []
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth === 900)")
    assert min(page.evaluate(_CONTRAST)) >= 4.5
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(21, 24, 27)") == (scheme == "dark")
    assert problems == []
    page.close()
