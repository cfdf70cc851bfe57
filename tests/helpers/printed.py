"""The papers' numbers typed a second time, in the order of print."""

# table, measure, then the numbers: baseline; {1, 0.5}: max, average, attention, each without and with supervision;
# {1, 0.75, 0.5} likewise; DeepLab-MSc-LargeFOV of the text; - is what the text has in words
_SCALE = """
1 mean IOU      51.91 52.90 55.26 52.71 55.17 53.49 55.85 53.02 55.78 52.56 55.72 53.12 56.39 53.72
2 head          81.47
2 torso         59.06
2 upper arms    44.15
2 lower arms    42.50
2 upper legs    38.28
2 lower legs    35.62
2 background    93.65
2 mean IOU      56.39
3 mean IOU      62.28 64.81 67.43 64.86 67.79 65.27 68.24 65.15 67.79 63.92 67.98 64.37 69.08 64.39
4 mean IOU      65.1 67.0 69.6 69.8 70.5 70.6 71.5 72.7 73.6 74.7 75.2 77.5 77.8 75.1 75.7 76.3
5 mean IOU      67.58 69.15 70.01 69.22 70.44 69.90 70.76 69.70 70.06 68.82 70.55 69.47 71.42
6 mean IOU      31.22 32.95 34.70 33.69 35.14 34.03 35.41 33.58 35.08 33.74 35.72 33.42 35.78 31.61
7 person        68.76 70.07 71.06 70.38 71.60 70.66 72.20 69.97 71.43 69.69 71.70 70.14 72.72
"""
_REFINE = """
1 mean IOU      61.40 63.88 64.07 64.74 67.98
2 mean IOU      64.74 65.80 66.83 67.98 -
3 mean IOU      32.67
3 accuracy      76.41
3 mean IOU      35.11
3 accuracy      76.82
3 mean IOU      36.43
3 accuracy      78.01
3 mean IOU      37.07
3 accuracy      78.57
3 mean IOU      38.21
3 accuracy      79.29
"""


def _typed(source, text):
    """(paper, table, measure, number) of each cell; None for -."""
    for line in text.strip().splitlines():
        table, *words = line.split()
        measure = " ".join(word for word in words if word.isalpha())
        measure = {"mean IOU": "mean IOU", "accuracy": "pixel accuracy"}.get(measure, f"IOU of {measure}")
        for word in words:
            if not word.isalpha():
                yield source, int(table), measure, None if word == "-" else float(word)


SCALE = [*_typed("attention to scale", _SCALE)]
REFINE = [*_typed("attention to refine", _REFINE)]
