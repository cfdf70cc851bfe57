"""Reads pairs for `attscale.data.verify`: `python -m attscale.data.checker CLASSES`.

A process, because damage to a JPEG is said on the standard error alone, which the threads of a process share. Reads
`["image", "label map"]` from stdin, a line of JSON each, and answers with `{"fault": "...", "pixels": [counts of 0 to
255]}`, of which one is null. Ends with its input.
"""

import json
import sys

import cv2
import numpy as np

from attscale.data.samples import load_pair
from attscale.errors import DataError


def main(classes):
    cv2.setNumThreads(1)  # there is one of us a core
    for line in sys.stdin:
        answer = {"fault": None, "pixels": None}
        try:
            _, label = load_pair(*json.loads(line), classes)
            answer["pixels"] = np.bincount(label.ravel(), minlength=256).tolist()
        except DataError as error:
            answer["fault"] = str(error)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
