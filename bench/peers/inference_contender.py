"""One contender of the race of inference, in a process of its own; here OpenVINO, in its own environment.

Reads lines from standard input: ``go`` predicts the same tiles in batches of every size with every number of threads
and answers with one line of JSON, anything else ends. Before the first answer the numbers for all tiles are written to
``NAME.npy``, so that the race can compare them. bench/inference.py serves its own contenders by the same function.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Run = Callable[[NDArray[np.float32], NDArray[np.bool_]], NDArray[np.float32]]
"""Logits ``(B, K, H, W)`` of values and their mask ``(B, 1, C, H, W)``."""
Make = Callable[[int, int], Run]
"""What runs a number of threads and a size of batches."""
LARGEST_BATCH = 8


def serve(name: str, make: Make, options: argparse.Namespace) -> None:
    """Answer until the race is over. What libraries print goes to standard error."""
    speak, sys.stdout = sys.stdout, sys.stderr
    with np.load(options.folder / "tiles.npz") as stored:
        values, valid = stored["values"], stored["valid"]
    made: dict[tuple[int, int], Run] = {}
    for line in sys.stdin:
        if line.strip() != "go":
            break
        first = not made
        rows = []
        for threads in options.threads:
            for batch in options.batches:
                run = made.get((threads, batch)) or make(threads, batch)
                made[threads, batch] = run
                rows.append({"threads": threads, "batch": batch, **timed(run, values[:batch], valid[:batch], options)})
        if first:
            batch = options.batches[-1]
            parts = range(0, len(values), batch)
            found = [run(values[part : part + batch], valid[part : part + batch]) for part in parts]
            np.save(options.folder / f"{name}.npy", np.concatenate(found))
        print(json.dumps({"rows": rows, "peak_rss_mb": peak_mb()}), file=speak, flush=True)


def timed(run: Run, values: NDArray[Any], valid: NDArray[Any], options: argparse.Namespace) -> dict[str, float]:
    """Median seconds of a batch, by the clock and of this process's processor, after a call that does not count."""
    run(values, valid)
    walls, works = [], []
    for _ in range(options.repeats):
        began, work = time.perf_counter(), time.process_time()
        run(values, valid)
        walls.append(time.perf_counter() - began)
        works.append(time.process_time() - work)
    return {"wall_s": float(np.median(walls)), "cpu_s": float(np.median(works))}


def peak_mb() -> float:
    """Peak resident memory in MiB; not ``ru_maxrss``, which a child inherits from its parent."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def openvino_runner(options: argparse.Namespace, *, int8: bool) -> Make:
    """The exported file in OpenVINO, compiled for each size of batches; int8 by NNCF from the calibration tiles."""
    import openvino

    core = openvino.Core()
    kept = options.folder / "openvino_int8.xml"
    if int8 and not kept.is_file():
        openvino.save_model(quantised(core, options), kept, compress_to_fp16=False)
    path = kept if int8 else options.folder / "float32.onnx"

    def make(threads: int, batch: int) -> Run:
        model = core.read_model(path)
        shape = [batch, *options.tile]
        model.reshape(dict.fromkeys(model.inputs, shape))
        hints = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1", "INFERENCE_NUM_THREADS": str(threads)}
        request = core.compile_model(model, "CPU", hints).create_infer_request()

        def run(values: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
            found: NDArray[np.float32] = request.infer({"values": values, "valid": valid})[0].copy()
            return found

        return run

    return make


def quantised(core: Any, options: argparse.Namespace) -> Any:
    """The model in int8 as NNCF makes it by default for its kind."""
    import nncf

    with np.load(options.folder / "calibration.npz") as stored:
        pairs = [
            {"values": stored["values"][at : at + 1], "valid": stored["valid"][at : at + 1]}
            for at in range(len(stored["values"]))
        ]
    kind = nncf.ModelType.TRANSFORMER if options.network == "vit" else None
    model = core.read_model(options.folder / "float32.onnx")
    return nncf.quantize(model, nncf.Dataset(pairs), model_type=kind, subset_size=len(pairs))


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options that the race and all its contenders share."""
    parser.add_argument("--network", choices=("vit", "unet"), default="vit")
    parser.add_argument("--folder", type=Path, help="where tiles and models lie; default a temporary one")
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--batches", type=int, nargs="*", default=[1, 4, 8], help=f"at most {LARGEST_BATCH}")
    parser.add_argument("--repeats", type=int, default=3, help="calls that count, per round")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("contender", choices=("openvino", "openvino_int8"))
    add_options(parser)
    options = parser.parse_args()
    with np.load(options.folder / "tiles.npz") as stored:
        options.tile = stored["values"].shape[1:]
    answers, sys.stdout = sys.stdout, sys.stderr  # NNCF prints while it works
    made = openvino_runner(options, int8=options.contender == "openvino_int8")
    sys.stdout = answers
    serve(options.contender, made, options)


if __name__ == "__main__":
    main()
