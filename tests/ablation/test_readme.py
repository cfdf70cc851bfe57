"""What README.md says of the results is what the kept runs say."""

import re
from statistics import fmean, stdev

from attscale.ablation import kept
from attscale.ablation.claims import CLAIMS, differences
from attscale.ablation.measures import ahead, on_seen
from attscale.ablation.statistics import HOLDS
from attscale.ablation.studies import STUDIES
from conftest import REPO

FOLDER = REPO / "docs/results"


def test_what_the_readme_says():
    """Its scores, of all seeds, and which differences it calls ahead, or not."""
    said = " ".join((REPO / "README.md").read_text().split())
    number = re.search(r"Mean IOU over (\d+) seeds: one scale", said)[1]
    nets = dict(zip(("largefov", "max3_esupv", "average3_esupv", "attention3_esupv"), (
        r"one scale (\d+\.\d+);", r"merged by max (\d+\.\d+),", r"by average (\d+\.\d+),", r"by attention (\d+\.\d+)\.",
    ), strict=True))  # fmt: skip
    merged = r"ahead of one scale, (\S+), .* merges them: max (\S+), average (\S+), attention (\S+), from three seeds"
    streets = dict(zip((f"{net}_narrow" for net in nets), re.search(merged, said).groups(), strict=True))
    shapes = {net: re.search(words, said)[1] for net, words in nets.items()}
    for study, expected, numbers in (("shapes", int(number), shapes), ("camvid", 3, streets)):
        found = kept.find(FOLDER, STUDIES[study])
        for net, printed in numbers.items():
            scores = [100 * one.evaluation.mean_iou for one in found[net].values()]
            assert len(scores) == expected
            assert printed == f"{fmean(scores):.2f}"
    scores = [100 * one.evaluation.mean_iou for one in found["attention3_esupv_narrow"].values()]
    assert f"no pretraining, 3 seeds | - | {fmean(scores):.2f} ± {stdev(scores):.2f} |" in said
    alone = [
        fmean(100 * one.evaluation.mean_iou_of_branches["0.75"] for one in runs.values())
        for net, runs in found.items()
        if "esupv" in net
    ]
    assert f"scale 0.75 of the same nets has {min(alone):.1f} to {max(alone):.1f} alone" in said
    assert f"seed 0 alone ({scores[0]:.2f} of those)" in said
    (longer,) = kept.find(FOLDER, STUDIES["camvid_long"])["attention3_esupv_narrow"].values()
    assert f"trained for longer | - | {100 * longer.evaluation.mean_iou:.2f} |" in said
    by_text = {claim.text: by_study.get("shapes") for claim, by_study in differences(kept.find_all(FOLDER))}
    above = "Three scales merged by {}, with extra supervision, are better than one"
    over = "Attention is better than {}: three scales, with extra supervision"
    assert {by_text[text].verdict for text in (above.format("attention"), *map(over.format, ("max", "average")))} == {
        HOLDS
    }
    assert HOLDS not in {by_text[above.format(merge)].verdict for merge in ("max", "average")}
    streets = {claim.text: by_study.get("camvid") for claim, by_study in differences(kept.find_all(FOLDER))}
    assert {streets[above.format(merge)].verdict for merge in ("max", "average", "attention")} == {HOLDS}
    assert HOLDS not in {streets[over.format(merge)].verdict for merge in ("max", "average")}
    extra = by_text["Extra supervision helps (6 pairs of nets)"]
    assert re.search(r"extra supervision adds (\d\.\d) points on average", said)[1] == f"{extra.mean:.1f}"
    assert extra.verdict == HOLDS
    (claim,) = (claim for claim in CLAIMS if claim.text.startswith("Extra supervision helps (6"))
    from_coco, *others = re.search(
        r"where the paper has (\d\.\d) from a start like this one \(table 5\), and (\d\.\d) to (\d\.\d) from ImageNet",
        said,
    ).groups()
    assert from_coco == f"{claim.gains['VOC from COCO']:.1f}"
    from_imagenet = [gain for name, gain in claim.gains.items() if name != "VOC from COCO"]
    assert others == [f"{end(from_imagenet):.1f}" for end in (min, max)]
    tried = [
        one
        for claim, by_study in differences(kept.find_all(FOLDER))
        for name, one in by_study.items()
        if claim.text.startswith("Attention") and name in ("camvid_scratch", "camvid_attention")
    ]
    above_one = above.format("attention")
    (scratch,) = (by_study["shapes_scratch"] for claim, by_study in differences(kept.find_all(FOLDER))
                  if claim.text == above_one)  # fmt: skip
    (gains,) = (claim.gains.values() for claim in CLAIMS if claim.text == above_one)
    words = r"come to (\S+), which is (\S+) above one scale of the same seeds, where the paper has (\S+) to (\S+)\. On"
    alone = kept.find(FOLDER, STUDIES["shapes_scratch"])["attention3_esupv"].values()
    mean = fmean(100 * run.evaluation.mean_iou for run in alone)
    printed = (f"{mean:.2f}", f"{scratch.mean:.1f}", f"{min(gains):.1f}", f"{max(gains):.1f}")
    assert re.search(words, said).groups() == printed
    assert scratch.verdict == HOLDS
    nets = on_seen(kept.find(FOLDER, STUDIES["camvid"]))
    gains = [ahead("attention3_esupv_narrow", f"{other}3_esupv_narrow")(nets) for other in ("max", "average")]
    over = re.search(r"trained on it is ahead, by (\d\.\d) and (\d\.\d), but on val", said).groups()
    assert over == tuple(f"{one.mean:.1f}" for one in gains)
    assert {one.verdict for one in gains} == {HOLDS}
    assert len(tried) == 6
    assert HOLDS not in {one.verdict for one in tried}
