"""Every reader of files that come from elsewhere: the files that it is given, the call, and a second look at what it
took.

A reader does what a command does with the file: what is found on the way there counts as well.
"""

from fuzz.readers import images, nets, runs, sets

READERS = {
    "jpeg": images.Jpeg(),
    "png": images.Png(),
    "other images": images.OtherImages(),
    "videos": images.Videos(),
    "label maps": images.LabelMaps(),
    "submissions": images.Submissions(),
    "lists": sets.Lists(),
    "caffemodels": nets.Caffemodels(),
    "state dicts": nets.StateDicts(),
    "snapshots": nets.Snapshots(),
    "score maps": nets.Scores(),
    "prototxts": nets.Prototxts(),
    "edited nets": nets.EditedNets(),
    "options": runs.Options(),
    "run.json": runs.RunRecords(),
    "log.jsonl": runs.Logs(),
    "sweeps": runs.Sweeps(),
    "kept runs": runs.KeptRuns(),
    "evaluation.json": runs.Evaluations(),
    "reports": runs.Reports(),
    "predictions": runs.Predictions(),
    "manifest.toml": nets.Manifests(),
    "checksums.json": nets.Checksums(),
    "data sets": sets.DataSets(),
    "ledgers": sets.Ledgers(),
    "coco": sets.CocoInstances(),
    "mat": sets.Mats(),
    "tar": sets.Tars(),
    "tgz": sets.Tgzs(),
    "zip": sets.Zips(),
}
