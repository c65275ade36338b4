"""The findings as a table for people."""

from itertools import pairwise

from finetune_trainer.run.preflight.findings import Findings

_MIB, _GIB = 2**20, 2**30
_MOST_LABELS = 12


def table(found: Findings) -> str:
    """Return one line for each finding: its name, and its value."""
    lengths, memory = found.lengths, found.memory
    trained = "" if found.trained == found.parameters else f", {shown_count(found.trained)} of them trained"
    evaluated = f", {found.evaluation_rows:,} to evaluate" if found.evaluation_rows else ", none to evaluate"
    limit = f"; at most {lengths.limit:,}, which {_share(lengths.at_limit)} reach" if lengths.limit else ""
    parts = {
        "weights": memory.weights, "gradients": memory.gradients, "optimizer": memory.optimizer,
        "activations": memory.activations, "copy of a checkpoint": memory.checkpoint,
    }  # fmt: skip
    free = f"; {found.device} has {shown_bytes(found.available)} free" if found.available is not None else ""
    writable = "can be written, and takes" if found.output_open else "is opened by the training, and takes"
    lines = {
        "model": f"{found.model} at {found.revision[:19]}, {shown_count(found.parameters)} parameters{trained}",
        "data": f"{found.dataset}, {found.train_rows:,} rows to train{evaluated}",
        "labels": _labels(found),
        "tokens": f"median {lengths.median:,}, 95 % within {lengths.p95:,}, longest {lengths.longest:,}{limit}",
        "steps": f"{found.steps:,} of {found.batch_size:,} rows",
        "memory": f"about {shown_bytes(memory.total)} ("
        + ", ".join(
            f"{name} {shown_bytes(size)}" for name, size in parts.items() if size or name != "copy of a checkpoint"
        )
        + f"){free}",
        "time": _time(found),
        "output": f"{found.output} {writable} up to {shown_bytes(found.output_bytes)}",
    }
    if found.tokenised < found.train_rows:
        for name in ("labels", "tokens"):
            lines[name] += f" (of a sample of {found.tokenised:,} rows)" if lines[name] else ""
    return "\n".join(row(name, line) for name, line in lines.items() if line)


def row(name: str, line: str) -> str:
    """One line of it."""
    return f"{name + ':':<13}{line}"


def _time(found: Findings) -> str:
    timing = found.timing
    if timing is None:
        return f"not measured: {found.not_timed}" if found.not_timed else ""
    (least, most), (low, high) = timing.seconds, timing.step_seconds
    cores = f" ({timing.cores} core{'s' if timing.cores > 1 else ''})" if found.device == "CPU" else ""
    each = f"evaluation{' of' if timing.evaluations == 1 else 's of'} about {shown_seconds(timing.evaluation_seconds)}"
    evaluations = f", and {timing.evaluations} {each}" if timing.evaluations else ""
    total = _range(shown_seconds(least), shown_seconds(most))
    return (
        f"{total} on this machine's {found.device}{cores}: {found.steps:,} steps of "
        f"{_range(f'{low:.3g}', f'{high:.3g}')} s, by {timing.measured_steps} of them{evaluations}; loading, checkpoints and export come besides"
    )


def _range(low: str, high: str) -> str:
    """Where one step alone was timed, or all alike, there is one figure."""
    return f"about {low}" if low == high else f"{low} to {high}"


def _share(share: float) -> str:
    return f"{share:.1%}".replace("%", " %") if share else "none"


def _labels(found: Findings) -> str:
    named = [f"{name} {count:,}" for name, count in list(found.labels.items())[:_MOST_LABELS]]
    rest = len(found.labels) - len(named)
    return ", ".join(named) + (f" and {rest} more" if rest else "")


def shown_count(count: int) -> str:
    """13,506 as 13.5 k, 108,310,273 as 108.3 M."""
    for unit, size in (("B", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return str(count)


def shown_seconds(seconds: float) -> str:
    """7 s, 3 min 20 s, 2 h 5 min, 3 d 4 h; less than a second as one."""
    whole = max(1, round(seconds))
    for (large, size), (small, unit) in pairwise((("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))):
        if whole >= size:
            count, rest = divmod(round(whole / unit), size // unit)
            return f"{count} {large} {rest} {small}" if rest else f"{count} {large}"
    return f"{whole} s"


def shown_bytes(size: int) -> str:
    """Below a tenth of a GiB in MiB."""
    return f"{size / _GIB:.1f} GiB" if size >= _GIB / 10 else f"{size / _MIB:.1f} MiB"
