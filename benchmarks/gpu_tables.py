"""The figures of `make bench-gpu` as people read them."""

from collections.abc import Mapping, Sequence
from typing import Any

from gpu_figures import gib, peak_of, share, table

Row = Mapping[str, Any]


def report(found: Mapping[str, Any]) -> str:
    """All tables, and how each part ended."""
    parts = found["parts"]
    speed = [row for name in ("bert", "lora-1b", "lora-8b") for row in parts.get(name, {"rows": []})["rows"]]
    tables = [
        ("speed", _speed(speed)),
        ("memory, against what `prepare` foretells", _memory(speed)),
        ("waiting for checkpoints", _stall(_rows(parts, "stall"))),
        ("a card that is too small", _ladder(_rows(parts, "ladder"))),
        ("stopped, killed and resumed", _resume(_rows(parts, "resume"))),
    ]
    ends = [{"part": name, "seconds": part["seconds"], "ended": part["status"]} for name, part in parts.items()]
    wrong = [f"{name}: {part['error']}" for name, part in parts.items() if part["error"]]
    blocks = [_machine(found["machine"]), *(f"{title}\n{text}" for title, text in tables if text)]
    blocks += ["\n".join([table(("part", "seconds", "ended"), ends), *wrong]), f"{found['seconds']:.0f} s in all"]
    return "\n\n".join(["", *blocks])


def _rows(parts: Mapping[str, Any], name: str) -> Sequence[Row]:
    rows: Sequence[Row] = parts.get(name, {"rows": []})["rows"]
    return rows


def _machine(machine: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    if not machine["card"]:
        return f"NO GPU: tiny shapes on {machine['cores']} cores of {machine['machine']}, which measure nothing; {versions}"
    peak = peak_of(machine["card"])
    told = f"peak {peak / 1e12:.0f} TFLOPS (bfloat16, dense)" if peak else "its peak is not known here"
    return f"{machine['card']}, {gib(machine['card_memory'])}, {told}; {machine['cores']} cores; {versions}"


def _speed(rows: Sequence[Row]) -> str:
    lines = [
        {
            "training": row["training"], "by": row["by"], "tokens": row["length"], "batch": row["batch_size"],
            "rows/s": row.get("rows_per_second"), "tokens/s": row.get("tokens_per_second"), "MFU": share(row["mfu"]),
            "ours/plain": row.get("ours/plain"), "goal": row["goal"],
        }
        for row in rows
    ]  # fmt: skip
    columns = ("training", "by", "tokens", "batch", "rows/s", "tokens/s", "MFU", "ours/plain", "goal")
    changed = [f"{row['training']} by ours: {text}" for row in rows for text in row.get("adjustments", ())]
    return "\n".join([table(columns, lines), *changed]) if lines else ""


def _memory(rows: Sequence[Row]) -> str:
    lines = [
        {"training": row["training"], "by": row["by"], "peak": gib(row.get("peak")), "foretold": gib(row.get("estimate")),
         "peak/foretold": row.get("peak/estimate")}
        for row in rows
    ]  # fmt: skip
    return table(("training", "by", "peak", "foretold", "peak/foretold"), lines) if lines else ""


def _stall(rows: Sequence[Row]) -> str:
    lines = [
        {"saves": row["saves"], "of": gib(row["bytes"]), "training": f"{row['training_seconds']:.1f} s",
         "a copy": f"{row['copy_seconds'] / max(1, row['saves']):.3f} s", "share": share(row["stall"]), "goal": row["goal"],
         "and for the last to be written": f"{row['last_wait_seconds']:.2f} s"}
        for row in rows
    ]  # fmt: skip
    return table(tuple(lines[0]), lines) if lines else ""


def _ladder(rows: Sequence[Row]) -> str:
    lines = [{name: row[name] for name in ("case", "memory", "exit", "as meant")} for row in rows]
    told = [f"{row['case']}: {text}" for row in rows for text in [*row["adjustments"], row["failure"]] if text]
    return "\n".join([table(("case", "memory", "exit", "as meant"), lines), *told]) if lines else ""


def _resume(rows: Sequence[Row]) -> str:
    columns = ("engine", "signal", "exit", "resumed from", "steps", "to the bit", "as meant")
    told = [f"{row['engine']} after {row['signal']}: {row['failure']}" for row in rows if row["failure"]]
    return "\n".join([table(columns, rows), *told]) if rows else ""
