"""How fast, in how much memory, and how long a training waits for its checkpoints: ours, and beside it plain scripts."""

import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from gpu_children import Children, Failed
from gpu_figures import Goal, utilization
from gpu_runs import Result, ours, plain_classifier, plain_language_model, saving
from gpu_workloads import Workload, classifiers, language_models, place_for, size_of, write_model, write_texts

STALL = Goal(0.02, "at most 2%", at_most=True)
_SAVES = 3


def classification(children: Children, folder: Path, deadline: float, card: str | None) -> Iterator[Result]:
    """BERT-base's shape at two lengths."""
    for workload in classifiers(card is not None):
        yield from compare(children, folder / workload.name, deadline, card, workload)


def language(name: str, children: Children, folder: Path, deadline: float, card: str | None) -> Iterator[Result]:
    """An adapter of a language model of the size `name`."""
    yield from compare(children, folder, deadline, card, language_models(card is not None)[name])


def compare(
    children: Children, folder: Path, deadline: float, card: str | None, workload: Workload
) -> Iterator[Result]:
    """Train as ours and as a plain script, on the same rows."""
    folder.mkdir(parents=True, exist_ok=True)
    place = place_for(size_of(workload))
    begun = time.monotonic()
    try:
        model = children.run(f"{workload.name}-model", deadline, made, place / "model", workload)["folder"]
        data = write_texts(folder / "texts", workload)
        print(f"    {workload.name}: model and texts written in {time.monotonic() - begun:.1f} s", flush=True)
        settings = workload.settings(Path(model), data, folder / "out")
        told = {"training": workload.name, "card": card}
        found = children.run(f"{workload.name}-ours", deadline, ours, workload, settings, folder / "run")
        yield told | {"by": "ours"} | judged(workload, found, card)
        if found["code"] != 0:
            raise Failed(f"{workload.name}: ours ended with {found['code']}: {found['failure']}")
        plain = plain_language_model if workload.lora else plain_classifier
        beside = children.run(f"{workload.name}-plain", deadline, plain, workload, Path(model), data, folder / "plain")
        ratio = found["tokens_per_second"] / beside["tokens_per_second"]
        yield told | {"by": "plain trl" if workload.lora else "plain transformers"} | judged(workload, beside, card) | {
            "goal": None, "ours/plain": ratio
        }  # fmt: skip
    finally:
        shutil.rmtree(place, ignore_errors=True)
        shutil.rmtree(folder / "out", ignore_errors=True)


def judged(workload: Workload, found: Result, card: str | None) -> Result:
    """What was measured, with the share of the card's peak and what came of the goal."""
    speed = found.get("tokens_per_second")
    share = utilization(workload.operations(), speed, card) if card and speed else None
    goal = workload.goal
    verdict = goal.verdict(share if workload.by == "mfu" else speed, card or "") if goal and card else None
    estimate = found.get("estimate")
    return found | {
        "length": workload.length,
        "batch_size": workload.batch_size,
        "mfu": share,
        "goal": verdict if card else goal and goal.text,
        "peak/estimate": found["peak"] / estimate if estimate and found.get("peak") else None,
    }


def made(folder: Path, workload: Workload) -> Result:
    """The model, written by a process whose memory on the GPU is free afterwards."""
    return {"folder": str(write_model(folder, workload))}


def stalls(children: Children, folder: Path, deadline: float, card: str | None) -> Iterator[Result]:
    """BERT-base's shape with a checkpoint every few seconds, on a disk."""
    last: Any = classifiers(card is not None)[-1]
    workload = replace(last, name="stall", steps=3 * last.steps, warm_up=0)
    model, data = write_model(folder / "model", workload), write_texts(folder / "texts", workload, last.rows)
    settings = workload.settings(model, data, folder / "out")
    settings["checkpoints"]["steps"] = workload.steps // _SAVES
    try:
        found = children.run("stall", deadline, saving, workload, settings, folder / "run")
        if found["code"] != 0:
            raise Failed(f"the run ended with {found['code']}: {found['failure']}")
        share = found["copy_seconds"] / found["training_seconds"]
        yield found | {"stall": share, "goal": STALL.verdict(share if card else None, card or "")}
    finally:
        shutil.rmtree(folder / "out", ignore_errors=True)
