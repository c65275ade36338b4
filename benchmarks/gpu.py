"""`make bench-gpu`: what the trainer does on a GPU, in at most 8 minutes on one, with random weights and texts.

bert      BERT-base's shape on texts of 128 and 512 tokens: rows and tokens a second, share of the card's peak (MFU)
lora-1b   an adapter of a model of Llama-3.2-1B's shape, 4,096 tokens in packed texts
lora-8b   the same of Llama-3-8B's shape
stall     how long a training waits for its checkpoints
ladder    a card that is too small: down the whole ladder, and beyond its end
resume    SIGTERM and SIGKILL: resumed runs end with the same bits as undisturbed ones

The first three stand beside plain scripts of transformers and trl in the same run, and tell the peak of memory beside the
estimate of `prepare`. Each part has a time bound and survives the failure of another. Without a GPU all shapes are tiny:
that tries the benchmark and measures nothing.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent
_ROOT = _HERE.parent
_PATHS = [str(_HERE), str(_ROOT / "operator"), str(_ROOT / "trainer_image")]

BUDGETS: dict[str, float] = {"bert": 80, "lora-1b": 75, "lora-8b": 160, "stall": 35, "ladder": 60, "resume": 70}
"""Seconds for each part: 8 minutes in all, of which is taken off what goes by before the first one."""
RESERVED = 5
"""Seconds that go by after the last part."""
Part = Callable[..., Iterator[dict[str, Any]]]


def main() -> int:
    """Run the parts, print the tables, write the JSON. Returns 1 where a part failed, was stopped or went otherwise than meant."""
    begun, options = time.monotonic(), _options()
    work = Path(tempfile.mkdtemp(prefix="bench-gpu-", dir=options.scratch))
    _set_environment(work)
    # What they import has read the environment.
    from gpu_children import Children, in_which_gpus_work

    try:
        forked = Children(options.logs or work / "logs")
        from gpu_figures import scaled  # these bring the same libraries along, at the same time
        from gpu_runs import look
        from gpu_tables import report

        with in_which_gpus_work(forked) as started:
            machine = started.run("machine", time.monotonic() + 120, look)
            left = 60 * options.minutes - RESERVED - (time.monotonic() - begun)
            names = options.only or list(BUDGETS)
            budgets = scaled({name: BUDGETS[name] for name in names}, left * _part_of_all(names))
            found: dict[str, Any] = {"machine": machine, "seconds": 0.0, "parts": {}}
            for part in _run_parts(budgets, partial(_run_part, started, work, machine["card"])):
                found |= {"seconds": time.monotonic() - begun, "parts": found["parts"] | part}
                if options.json:  # after each part: somebody's clock may end this program too
                    options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print(report(found))
    return 0 if all(part["status"] == "done" for part in found["parts"].values()) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=_names, metavar="NAME[,NAME]", help=f"of {', '.join(BUDGETS)}")
    parser.add_argument("--json", type=Path, help="write all figures there too")
    parser.add_argument("--minutes", type=float, default=8.0, help="for all parts; some of them take their share of it")
    parser.add_argument("--scratch", type=Path, help="folder for outputs, on a disk (a temporary one if left out)")
    parser.add_argument("--logs", type=Path, help="folder for what each training said (thrown away if left out)")
    return parser.parse_args()


def _names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in BUDGETS]:
        raise argparse.ArgumentTypeError(f"no part {unknown[0]}: there are {', '.join(BUDGETS)}")
    return [name for name in BUDGETS if name in names]


def _part_of_all(names: list[str]) -> float:
    """The share of the time that the parts `names` may take."""
    return sum(BUDGETS[name] for name in names) / sum(BUDGETS.values())


def _set_environment(work: Path) -> None:
    """Read by libraries when they are imported, by this process and all that it starts."""
    paths = [*_PATHS, *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ |= {
        "PYTHONPATH": os.pathsep.join(paths),
        "HF_HOME": str(work / "cache"),
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "DISABLE_KUBEFLOW_INTEGRATION": "TRUE",
        "TRANSFORMERS_VERBOSITY": "error",
        "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
        "PYTHONWARNINGS": "ignore",
        "PYTORCH_NVML_BASED_CUDA_CHECK": "1",  # else a look for a GPU would keep those forked later from using it
    }
    sys.path[:0] = _PATHS


def _run_parts(
    budgets: dict[str, float], run: Callable[[str, float], dict[str, Any]]
) -> Iterator[dict[str, dict[str, Any]]]:
    """Each part by its name, as soon as it is over."""
    from gpu_figures import allowance

    spent: dict[str, float] = {}
    for name in budgets:
        seconds = allowance(budgets, spent, name)
        print(f"{name}: at most {seconds:.0f} s", flush=True)
        part = run(name, seconds)
        spent[name] = part["seconds"]
        print(f"{name}: {part['status']} in {part['seconds']:.1f} s", flush=True)
        if part["error"]:
            print("    " + part["error"].replace("\n", "\n    "), flush=True)
        yield {name: part}


def _run_part(started: Any, work: Path, card: str | None, name: str, seconds: float) -> dict[str, Any]:
    """One part: whatever it found before it failed or its time was over counts."""
    from gpu_children import Failed, OutOfTime

    begun, rows = time.monotonic(), []
    status, error = "done", None
    try:
        for row in _parts(card)[name](started, work / name, begun + seconds):
            rows.append(row)  # noqa: PERF402 - those before a failure shall be kept
    except OutOfTime as late:
        status, error = "stopped", f"{late}: {seconds:.0f} s were not enough"
    except Failed as failure:
        status, error = "failed", str(failure)
    except Exception as failure:  # noqa: BLE001 - the other parts go on
        status, error = "failed", f"{type(failure).__name__}: {failure}"
    if status == "done" and not all(row.get("as meant", True) for row in rows):
        status, error = "failed", "not all went as it was meant: see the table"
    shutil.rmtree(work / name, ignore_errors=True)
    return {"status": status, "seconds": time.monotonic() - begun, "error": error, "rows": rows}


def _parts(card: str | None) -> dict[str, Part]:
    import gpu_faults
    import gpu_speed

    gpu = card is not None
    return {
        "bert": partial(gpu_speed.classification, card=card),
        "lora-1b": partial(gpu_speed.language, "lora-1b", card=card),
        "lora-8b": partial(gpu_speed.language, "lora-8b", card=card),
        "stall": partial(gpu_speed.stalls, card=card),
        "ladder": partial(gpu_faults.ladder, gpu=gpu),
        "resume": partial(gpu_faults.resumes, gpu=gpu),
    }


if __name__ == "__main__":
    sys.exit(main())
