"""torchmetrics in its own environment: reads the name of a case, counts it, answers with seconds and counts.

One line of JSON in, one line out. Labels are loaded and turned into tensors before the clock starts.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torchmetrics.classification import MulticlassConfusionMatrix


def main() -> None:
    folder, threads = Path(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(threads)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        case = json.loads(line)
        truth, prediction = (torch.from_numpy(np.load(folder / f"{case['data']}_{k}.npy")) for k in ("true", "guess"))
        ignore = case["ignore"]
        metric = MulticlassConfusionMatrix(case["classes"], ignore_index=ignore, validate_args=case["checks"])
        began, began_cpu = time.perf_counter(), time.process_time()
        metric.update(prediction, truth)
        wall, cpu = time.perf_counter() - began, time.process_time() - began_cpu
        print(json.dumps({"wall": wall, "cpu": cpu, "counts": metric.compute().tolist()}), flush=True)


if __name__ == "__main__":
    main()
