"""What users get wrong: each mistake with its exit code, reason and message."""

import math

from tests.trainer.spoiled_settings import (
    NO_FINITE_LOSS,
    Mistake,
    argument,
    checkpointed_albert,
    file,
    no_token,
    other_weights,
    own_code,
    problem,
    rows,
    splits,
    torn_weights,
    unlabelled,
    unlike_t5,
    unreadable_weights,
    unseen,
    unseen_label,
)

from finetune_api.report import ExitCode

MISTAKES: dict[str, tuple[Mistake, ExitCode, str, str]] = {
    "no such field": (
        lambda s, f: s["training"].update(learning_rate=1), ExitCode.BAD_CONFIGURATION, "BadConfiguration",
        "training.learning_rate: there is no such field; did you mean 'learningRate'?",
    ),
    "claim not given": (
        lambda s, f: s["model"].update(source="pvc://models/bert"), ExitCode.BAD_CONFIGURATION, "VolumeNotGiven",
        "pvc://models/bert: volume 'models' is not known here; none is given",
    ),
    "no such argument": (
        argument("warmup_step", 1), ExitCode.BAD_CONFIGURATION, "UnknownArgument",
        "training.arguments.warmup_step: transformers.TrainingArguments has no such field; "
        "did you mean 'warmup_steps'?",
    ),
    "argument that is ours": (
        argument("eval_strategy", "no"), ExitCode.BAD_CONFIGURATION, "ArgumentOwned",
        "training.arguments.eval_strategy: is set by the operator",
    ),
    "argument of the wrong type": (
        argument("warmup_steps", "many"), ExitCode.BAD_CONFIGURATION, "BadConfiguration",
        "training.arguments.warmup_steps: should be a valid number, unable to parse string as a number, not 'many'",
    ),
    "argument that transformers refuses": (
        argument("warmup_steps", -1), ExitCode.BAD_CONFIGURATION, "BadConfiguration",
        "training.arguments.warmup_steps: Got warmup_steps = -1",
    ),
    "optimizer that does not exist": (
        argument("optim", "adam"), ExitCode.BAD_CONFIGURATION, "BadConfiguration",
        "training.arguments.optim: adam is not a valid OptimizerNames",
    ),
    "optimizer that is not installed": (
        argument("optim", "adamw_bnb_8bit"), ExitCode.BAD_CONFIGURATION, "BadConfiguration",
        "training.arguments.optim: 'adamw_bnb_8bit'",
    ),
    "schedule with wrong arguments": (
        argument("lr_scheduler_kwargs", {"wings": 2}), ExitCode.BAD_CONFIGURATION, "BadConfiguration",
        "training.arguments.lr_scheduler_type: 'linear' is not possible",
    ),
    "too long for the model": (
        lambda s, f: s.update(preprocessing={"maxLength": 64}), ExitCode.BAD_CONFIGURATION, "BadConfiguration",
        "preprocessing.maxLength: 64 is more than the 32 tokens that the model takes",
    ),
    "no room for text": (
        lambda s, f: s.update(preprocessing={"maxLength": 2}), ExitCode.BAD_CONFIGURATION, "BadConfiguration",
        "preprocessing.maxLength: 2 leaves no room beside the 2 special tokens",
    ),
    "slice that is none": (
        lambda s, f: s["dataset"]["train"].update(split="train[:x]"), ExitCode.BAD_CONFIGURATION, "BadConfiguration",
        "split 'train[:x]'",
    ),
    "no such file": (
        lambda s, f: s["dataset"].update(source="file:///nothing/here.csv"), ExitCode.DATA, "DatasetNotFound",
        "file:///nothing/here.csv: there is nothing at /nothing/here.csv",
    ),
    "no such split": (
        lambda s, f: s["dataset"]["evaluation"].update(split="tset"), ExitCode.DATA, "SplitNotFound",
        "there is no split 'tset', only train, test; did you mean 'test'?",
    ),
    "no such column": (
        lambda s, f: s["dataset"].update(columns={"label": "labels"}), ExitCode.DATA, "ColumnNotFound",
        "split 'train' has no column 'labels', only text, label; did you mean 'label'?",
    ),
    "one column for two fields": (
        lambda s, f: s["dataset"].update(columns={"text": "label"}), ExitCode.BAD_CONFIGURATION, "BadConfiguration",
        "dataset.columns: text and label are both 'label'",
    ),
    "text of numbers": (
        lambda s, f: rows(s, f, text=[1, 2], label=["a", "b"]), ExitCode.DATA, "ColumnType",
        "column 'text' of split 'train' holds int64 and not text (row 1: 1)",
    ),
    "class of fractions": (
        problem("single_label_classification", label=[0.5, 1.5]), ExitCode.DATA, "ColumnType",
        "column 'label' in row 1 of split 'train' (counted from 1) holds 0.5, which cannot be a class",
    ),
    "class of lists": (
        problem("single_label_classification", label=[[1], [2]]), ExitCode.DATA, "ColumnType",
        "column 'label' of split 'train' holds list of int64, which cannot be a class (row 1: [1])",
    ),
    "several classes that are no list": (
        problem("multi_label_classification", label=["a", "b"]), ExitCode.DATA, "ColumnType",
        "column 'label' of split 'train' holds text, and a list is needed (row 1: 'a')",
    ),
    "number that is text": (
        problem("regression", label=["1,5", "2"]), ExitCode.DATA, "ColumnType",
        "column 'label' of split 'train' holds text, and regression needs numbers (row 1: '1,5')",
    ),
    "number that is none": (
        lambda s, f: rows(s, f, text=["a", "b"], label=[1.5, math.inf]), ExitCode.DATA, "ValueMissing",
        "column 'label' is inf in row 2 of split 'train'",
    ),
    "list of classes with a hole": (
        lambda s, f: rows(s, f, text=["a", "b"], label=[["x"], ["y", None]]), ExitCode.DATA, "ValueMissing",
        "column 'label' has a list with an empty entry in row 2 of split 'train'",
    ),
    "no class in any list": (
        lambda s, f: rows(s, f, text=["a", "b"], label=[[], []]), ExitCode.DATA, "OneLabel",
        "column 'label' has no label in split 'train'",
    ),
    "several classes unseen in training": (
        lambda s, f: unseen(s, f, [["x"], ["x", "y"]], [["y"], ["y", "z"]]), ExitCode.DATA, "UnknownLabel",
        "column 'label' in row 4 of split 'train' (counted from 1) has the label 'z', "
        "which the training rows do not have; they have x, y",
    ),
    "marks of another number of classes": (
        lambda s, f: unseen(s, f, [[0, 1, 1], [1, 0, 0]], [[0, 1, 1], [0, 1]]), ExitCode.DATA, "UnknownLabel",
        "column 'label' in row 4 of split 'train' (counted from 1) holds [0, 1]; "
        "the training rows have 0 or 1 for each of 3 classes",
    ),
    "metric of another problem": (
        lambda s, f: (unseen(s, f, [1.5, 2.5], [1.5]), s.update(evaluation={"metrics": ["f1", "mse"]})),
        ExitCode.BAD_CONFIGURATION, "BadConfiguration",
        "evaluation.metrics: f1 cannot be computed for regression; its metrics are pearsonr, spearmanr, mse, mae",
    ),
    "smoothed number": (
        lambda s, f: (rows(s, f, text=["a", "b"], label=[1.5, 2.5]), argument("label_smoothing_factor", 0.1)(s, f)),
        ExitCode.BAD_CONFIGURATION, "BadConfiguration",
        "training.arguments.label_smoothing_factor: a label cannot be smoothed in regression",
    ),
    "text that is missing": (
        lambda s, f: rows(s, f, text=["a", "b", None], label=["x", "y", "z"]), ExitCode.DATA, "ValueMissing",
        "column 'text' is empty in row 3 of split 'train' (counted from 1)",
    ),
    "text without a token": (
        no_token, ExitCode.DATA, "EmptyText", "row 2 of split 'train' (counted from 1) has no tokens: its text is empty",
    ),
    "label that is missing": (
        lambda s, f: rows(s, f, text=["a", "b"], label=["x", None]), ExitCode.DATA, "ValueMissing",
        "column 'label' is empty in row 2 of split 'train'",
    ),
    "label that is empty": (
        lambda s, f: rows(s, f, text=["a", "b", "c"], label=["x", "y", ""]), ExitCode.DATA, "ValueMissing",
        "column 'label' in row 3 of split 'train' (counted from 1) is empty",
    ),
    "one label only": (
        lambda s, f: rows(s, f, text=["a", "b"], label=["x", "x"]), ExitCode.DATA, "OneLabel",
        "column 'label' has only the label 'x'",
    ),
    "label unseen in training": (
        unseen_label, ExitCode.DATA, "UnknownLabel",
        "column 'label' in row 10 of split 'train' (counted from 1) has the label 'ugly', "
        "which the training rows do not have; they have bad, good",
    ),
    "row without a label": (unlabelled, ExitCode.DATA, "NotLabelled", "column 'label' in row 2 of split 'train'"),
    "no rows": (
        lambda s, f: s["dataset"]["train"].update(split="train[:0]"), ExitCode.DATA, "NoRows",
        "split 'train[:0]' has no rows",
    ),
    "empty file": (lambda s, f: file(s, f, "a.csv", b""), ExitCode.DATA, "DatasetUnreadable", "a.csv cannot be read"),
    "csv with a header alone": (
        lambda s, f: file(s, f, "a.csv", b"text,label\n"), ExitCode.DATA, "NoRows", "a.csv has no rows",
    ),
    "jsonl without a line": (
        lambda s, f: file(s, f, "a.jsonl", b""), ExitCode.DATA, "NoRows", "a.jsonl has no rows",
    ),
    "evaluation file without a line": (
        lambda s, f: splits(s, f, '{"text": "a", "label": "x"}', ""), ExitCode.DATA, "NoRows",
        "rows has no rows in split 'test'",
    ),
    "folder without a file": (
        lambda s, f: ((f / "rows").mkdir(), s["dataset"].update(source=f"file://{f}/rows")), ExitCode.DATA,
        "DatasetUnreadable", "rows cannot be read: there is no csv, json, jsonl or parquet file in it",
    ),
    "csv that is not UTF-8": (
        lambda s, f: file(s, f, "a.csv", b"text,label\n\xff\xfe,x\n"), ExitCode.DATA, "NotUtf8", "a.csv is not UTF-8",
    ),
    "jsonl that is not UTF-8": (
        lambda s, f: file(s, f, "a.jsonl", b'{"text": "a", "label": "x"}\n{"text": "\xe9", "label": "y"}\n'),
        ExitCode.DATA, "NotUtf8", "a.jsonl is not UTF-8: byte 0xe9 in line 2",
    ),
    "jsonl with a key twice": (
        lambda s, f: file(s, f, "a.jsonl", b'{"text": "a", "text": "b", "label": "x"}\n'),
        ExitCode.DATA, "DuplicateColumn", "a.jsonl has the column 'text' twice",
    ),
    "jsonl with labels of two types": (
        lambda s, f: file(s, f, "a.jsonl", b'{"text": "a", "label": "x"}\n{"text": "b", "label": 3}\n'),
        ExitCode.DATA, "ColumnType", "column 'label' holds values of several types: text ('x') in a.jsonl, line 1 and "
        "a number (3) in a.jsonl, line 2",
    ),
    "lists in a csv file": (
        lambda s, f: file(s, f, "a.csv", b"text,label\na,\"['x', 'y']\"\nb,['x']\n"), ExitCode.DATA, "ListAsText",
        "column 'label' of split 'train' holds lists that are written as text (row 1: \"['x', 'y']\")",
    ),
    "splits with different types": (
        lambda s, f: splits(s, f, '{"text": "a", "label": ["x", "y"]}', '{"text": "a", "label": "x"}'),
        ExitCode.DATA, "ColumnType", "column 'label' of split 'test' holds text, and a list is needed (row 1: 'x')",
    ),
    "splits with different columns": (
        lambda s, f: splits(s, f, '{"text": "a", "label": "x"}', '{"text": "a", "klass": "x"}'),
        ExitCode.DATA, "ColumnNotFound", "split 'test' has no column 'label', only text, klass",
    ),
    "not what its suffix says": (
        lambda s, f: file(s, f, "a.parquet", b"text,label\na,b\n"), ExitCode.DATA, "DatasetUnreadable",
        "a.parquet cannot be read",
    ),
    "json that is none": (
        lambda s, f: file(s, f, "a.jsonl", b'{"text": "a"\n'), ExitCode.DATA, "DatasetUnreadable",
        "a.jsonl cannot be read",
    ),
    "file of another type": (
        lambda s, f: file(s, f, "a.xlsx", b"PK"), ExitCode.DATA, "UnknownFileType", "a.xlsx is of no type",
    ),
    "text too long to keep": (
        lambda s, f: s.update(preprocessing={"maxLength": 4, "truncation": False}), ExitCode.DATA, "TextTooLong",
        "tokens, more than 4",
    ),
    "no model there": (
        lambda s, f: s["model"].update(source=f"file://{f}"), ExitCode.MODEL, "ModelNotFound", "no config.json in",
    ),
    "weights of another model": (
        other_weights, ExitCode.MODEL, "WeightsDoNotFit", "weights are of another shape (bert.",
    ),
    "weights of another model without a head": (
        lambda s, f: unlike_t5(s, f, {"d_model": 64}), ExitCode.MODEL, "WeightsDoNotFit", "weights are of another shape (",
    ),
    "weights by other names": (
        lambda s, f: unlike_t5(s, f, {}, prefix="module."), ExitCode.MODEL, "WeightsDoNotFit", "weights are missing (",
    ),
    "torn weights": (torn_weights, ExitCode.MODEL, "ModelUnreadable", "cannot be loaded"),
    "weights that cannot be read": (unreadable_weights, ExitCode.MODEL, "ModelUnreadable", "Is a directory"),
    "model with code of its own": (own_code, ExitCode.MODEL, "ModelNeedsCode", "which is never done"),
    "model that cannot compute activations again": (
        checkpointed_albert, ExitCode.BAD_CONFIGURATION, "BadConfiguration",
        "training.arguments.activation_checkpointing: models of type albert cannot compute activations again",
    ),
    "output that cannot be written": (
        lambda s, f: s.update(output={"uri": "file:///proc/out"}), ExitCode.OUTPUT, "OutputFailed", "/proc/out",
    ),
    "loss not finite": (
        lambda s, f: s["training"].update(NO_FINITE_LOSS),
        ExitCode.LOSS_NOT_FINITE, "LossNotFinite", "at step 1; the last finite one was seen at step 0",
    ),
}  # fmt: skip
