"""What users get wrong: each broken input with the whole of what bertsmith says, which is where, what, and what may be.

One table, `CASES`. Every case starts in a folder with a good ``train.csv`` and whichever of ``encoder`` (a tiny BERT),
``model`` (trained on single texts), ``pair`` (on pairs) and ``number`` (regress) its command names.
"""

from __future__ import annotations

import gzip
import json
import shlex
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from bertsmith import api
from bertsmith.config import resolve
from bertsmith.errors import TrainingError
from cli_runs import bertsmith, trained
from small_runs import tiny_bert

if TYPE_CHECKING:
    from collections.abc import Iterable

Content = str | bytes | Callable[[Path], object]

GOOD = """text,label
good film,pos
bad film,neg
fine song,pos
dull plot,neg
great,pos
cold,neg
warm,pos
poor,neg
clever plot,pos
stupid,neg
"""
POS, NEG = {"text": "good", "label": "pos"}, {"text": "bad", "label": "neg"}

FOLDERS: Mapping[str, Callable[[], Path]] = {
    "encoder": tiny_bert,
    "model": partial(trained, "single"),
    "pair": partial(trained, "pair"),
    "number": partial(trained, "number"),
}

LOOKED_FOR_TEXT = (
    "text (looked for 'text', 'sentence', 'sentence1', 'sentence_1', 'text_a', 'text1', 'premise', 'question1', "
    "'review', 'content', 'message', 'document' and 1 more)"
)
LOOKED_FOR_TEXT_B = (
    "text_b (looked for 'text_b', 'sentence2', 'sentence_2', 'text2', 'hypothesis', 'question2', '#2 string')"
)
LOOKED_FOR_LABEL = (
    "label (looked for 'label', 'labels', 'class', 'category', 'target', 'gold_label', 'intent', 'sentiment', "
    "'quality')"
)
SUFFIXES = (
    "suffixes are .csv .tsv .tab .jsonl .ndjson .parquet .conll .bio .iob .iob2 .bioes .bmes .conllu .json .txt, "
    "all but .parquet also with .gz; "
    "else give --format csv, tsv, jsonl, parquet, conll, conllu, squad, lines"
)
FAMILIES = "'bert', 'camembert', 'distilbert', 'electra', 'roberta', 'xlm-roberta'"
NOT_A_WHOLE = "not a whole safetensors file: Error while deserializing header: "


@dataclass(frozen=True)
class Case:
    """says: the message, whole; where a library's own words or a path stand in it, the parts around them."""

    name: str
    command: str
    says: str | tuple[str, ...]
    files: Mapping[str, Content] = field(default_factory=dict)
    code: int = 2

    def build(self, folder: Path) -> None:
        (folder / "train.csv").write_text(GOOD, encoding="utf-8")
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, str):
                path.write_text(content, encoding="utf-8")
            elif isinstance(content, bytes):
                path.write_bytes(content)
            else:
                content(path)
        for name in FOLDERS.keys() & set(shlex.split(self.command)) - self.files.keys():
            (folder / name).symlink_to(FOLDERS[name]())


def train(file: str = "train.csv", *flags: str, task: str = "classify", out: str = "out") -> str:
    """The command that trains on a file."""
    return shlex.join(["train", task, "--train", file, "--encoder", "encoder", "--out", out, *flags])


def flags(*values: str) -> str:
    return train("train.csv", *values)


def jsonl(*rows: dict[str, Any] | str) -> str:
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)


def parquet(**columns: list[Any]) -> Content:
    return lambda path: pq.write_table(pa.table(columns), path)


def spoiled(name: str, *without: str, **changed: bytes | Callable[[bytes], bytes]) -> Content:
    """A copy of one of `FOLDERS` without some files, and with others changed (``config__json`` is config.json)."""

    def write(folder: Path) -> None:
        shutil.copytree(FOLDERS[name](), folder)
        for file in without:
            (folder / file).unlink()
        for file, change in changed.items():
            path = folder / file.replace("__", ".")
            path.write_bytes(change if isinstance(change, bytes) else change(path.read_bytes()))

    return write


def keys(**changed: Any) -> Callable[[bytes], bytes]:
    """A JSON file with some of its keys changed."""
    return lambda content: json.dumps({**json.loads(content), **changed}).encode()


def config(**changed: Any) -> dict[str, Content]:
    return {"encoder": spoiled("encoder", config__json=keys(**changed))}


def stopped(partial: Path) -> None:
    """A run that was stopped after its first step, in ``out.partial``."""
    values = {"task": "classify", "train": "train.csv", "encoder": str(tiny_bert()), "out": "out", "device": "cpu"}
    with pytest.raises(TrainingError, match="stopped after step 1"):
        api.train(*resolve(values), stop=lambda: True)
    assert partial.name == "out.partial"
    assert partial.is_dir()


def one_bit_off(content: bytes) -> bytes:
    return content[:-9] + bytes([content[-9] ^ 1]) + content[-8:]


def toml(text: str) -> dict[str, Content]:
    return {"run.toml": text}


FILES = [
    Case(
        "missing file",
        train("trian.csv"),
        "trian.csv: no such file; did you mean 'train.csv'?",
    ),
    Case(
        "missing folder",
        train("data/train.csv"),
        "data/train.csv: no such file: there is no folder 'data'",
    ),
    Case("empty file", train(), "train.csv: holds no rows", {"train.csv": ""}),
    Case(
        "header only",
        train(),
        "train.csv: holds no rows (header on line 1, comma-separated, CSV quoting)",
        {"train.csv": "text,label\n"},
    ),
    Case("folder as file", train("encoder"), "encoder: is a folder; give the file to read"),
    Case(
        "picture named csv",
        train(),
        "train.csv: is no text file: it holds zero bytes; save the rows as CSV, TSV or JSONL",
        {"train.csv": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\1"},
    ),
    Case(
        "unknown suffix",
        train("train.xlsx"),
        f"train.xlsx: the suffix '.xlsx' tells no format; {SUFFIXES}",
        {"train.xlsx": b"PK\3\4"},
    ),
    Case(
        "json, not jsonl",
        train("train.json"),
        'train.json: an empty list; expected SQuAD\'s object: {"data": [{"paragraphs": [{"context": …, "qas": '
        "[{\"question\": …}]}]}]}; jq -c '.[]' FILE makes JSONL of a list of rows",
        {"train.json": "[]"},
    ),
    Case(
        "utf-16",
        train(),
        "train.csv: starts with the byte order mark of utf-16; save it as UTF-8, or give --encoding utf-16",
        {"train.csv": GOOD.encode("utf-16")},
    ),
    Case(
        "bad utf-8",
        train(),
        "train.csv:12: byte 0xe9 at offset 3 of the line is not UTF-8 (invalid continuation byte); "
        "save the file as UTF-8, or give --encoding latin-1",
        {"train.csv": GOOD.encode() + b"caf\xe9,pos\n"},
    ),
    Case(
        "cut gzip",
        train("train.csv.gz"),
        (
            "train.csv.gz: not a whole gzip file: ",
            " lines); fetch or compress it again",
        ),
        {"train.csv.gz": gzip.compress(GOOD.encode() * 50)[:-20]},
    ),
    Case(
        "gz that is none",
        train("train.csv.gz"),
        ("train.csv.gz: not a whole gzip file: ", " (after 0 lines); fetch or compress it again"),
        {"train.csv.gz": GOOD},
    ),
    Case(
        "too many fields",
        train(),
        "train.csv:12: 3 fields, expected 2 as on line 1 (comma-separated, CSV quoting); "
        "quote the texts that hold ',', or give --quoting none or another --delimiter",
        {"train.csv": GOOD + "good, but long,pos\n"},
    ),
    Case(
        "too few fields",
        train("train.tsv"),
        "train.tsv:3: 1 field, expected 2 as on line 1 (tab-separated, no quoting); "
        "no text may hold '\\t' or a line end, unless it is quoted: --quoting csv",
        {"train.tsv": "text\tlabel\ngood\tpos\nbad neg\n"},
    ),
    Case(
        "quote never closed",
        train(),
        'train.csv:12: a field opens with a quotation mark that is never closed; close it (a mark inside is ""), '
        "or give --quoting none",
        {"train.csv": GOOD + '"good,pos\nbad,neg\n'},
    ),
    Case(
        "text after a quote",
        train(),
        'train.csv:12: text follows the closing quotation mark of a field; write a mark inside a field as "", '
        "or give --quoting none",
        {"train.csv": GOOD + '"good" film,pos\n'},
    ),
    Case(
        "header twice",
        train(),
        "train.csv:1: column 'text' for text is there 2 times, as columns 1 and 2; rename one, or give its number: "
        "--text 1",
        {"train.csv": "text,text,label\na,b,pos\n"},
    ),
    Case(
        "no such columns",
        train(),
        f"train.csv:1: there is no column for {LOOKED_FOR_TEXT} and {LOOKED_FOR_LABEL}; line 1 was taken as a row, "
        "not as a header, and holds 1 'body', 2 'stars'; say --header if it is one, else give column numbers: "
        "--text NUMBER --label NUMBER",
        {"train.csv": "body,stars\ngood,5\n"},
    ),
    Case(
        "one column missing",
        train(),
        f"train.csv:1: there is no column for {LOOKED_FOR_LABEL}; columns are 1 'text', 2 'lable'; "
        "name it: --label NAME; did you mean 'lable'?",
        {"train.csv": "text,lable\ngood,5\n"},
    ),
    Case(
        "column misspelt",
        flags("--label", "lable"),
        "train.csv:1: --label: there is no column 'lable'; columns are 1 'text', 2 'label'; did you mean 'label'?",
    ),
    Case(
        "column beyond the last",
        flags("--label", "3"),
        "train.csv:1: --label 3: there is no column 3; columns are 1 'text', 2 'label'",
    ),
    Case(
        "text taken as label",
        flags("--label", "text"),
        f"train.csv:1: there is no column for {LOOKED_FOR_TEXT}; columns are 1 'text', 2 'label'; "
        "'text' is taken for label; name it: --text NAME",
    ),
    Case(
        "one column twice",
        flags("--label", "text", "--text", "text"),
        "train.csv:1: --text and --label both name column 1",
    ),
    Case(
        "texts without labels",
        train("train.txt"),
        "train.txt: is read as one text a line, which holds no label; if it has columns, give --format csv or tsv",
        {"train.txt": "good\nbad\n"},
    ),
    Case("empty label", train(), "train.csv:12: the label is empty", {"train.csv": GOOD + 'good,"  "\n'}),
    Case(
        "label of dev alone",
        flags("--dev", "dev.csv"),
        "dev.csv:3: label 'negg' is not one of 'neg', 'pos'; did you mean 'neg'?",
        {"dev.csv": "text,label\ngood,pos\nbad,negg\n"},
    ),
    Case("dev missing", flags("--dev", "dev.csv"), "dev.csv: no such file"),
    Case(
        "one class",
        train(),
        "train.csv: the rows hold only the label 'pos'; a classifier needs 2 or more",
        {"train.csv": "text,label\ngood,pos\nfine,pos\n"},
    ),
    Case(
        "no label at all",
        flags("--multi-label"),
        "train.csv: the rows hold no label; a classifier needs 1 or more",
        {"train.csv": "text,label\ngood,\nbad,\n"},
    ),
    Case(
        "label twice in a row",
        train("train.csv", "--multi-label"),
        "train.csv:2: label 'a|a' names a label twice",
        {"train.csv": "text,label\ngood,a|a\n"},
    ),
    Case(
        "no number",
        train(task="regress"),
        "train.csv:3: label 'low' is not a finite number, as 'regress' needs",
        {"train.csv": "text,label\ngood,4\nbad,low\n"},
    ),
    Case(
        "nan",
        train(task="regress"),
        "train.csv:3: label 'nan' is not a finite number, as 'regress' needs",
        {"train.csv": "text,label\ngood,4\nbad,nan\n"},
    ),
    Case(
        "constant targets",
        train(task="regress"),
        "train.csv: all 2 targets are 4; there is nothing to learn",
        {"train.csv": "text,label\ngood,4\nbad,4\n"},
    ),
    Case(
        "json array",
        train("train.jsonl"),
        "train.jsonl:1: a JSON array; JSONL holds one object a line: jq -c '.[]' FILE writes an array of objects so",
        {"train.jsonl": json.dumps([POS, NEG])},
    ),
    Case(
        "broken json",
        train("train.jsonl"),
        "train.jsonl:2: not valid JSON at column 26: Expecting value; JSONL holds one object a line",
        {"train.jsonl": jsonl(POS, '{"text": "bad", "label": neg}')},
    ),
    Case(
        "json null",
        train("train.jsonl"),
        "train.jsonl:2: 'text' is null, and text needs a value",
        {"train.jsonl": jsonl(POS, {**NEG, "text": None})},
    ),
    Case(
        "json number as text",
        train("train.jsonl"),
        "train.jsonl:2: text must be a string, got int 5",
        {"train.jsonl": jsonl(POS, {**NEG, "text": 5})},
    ),
    Case(
        "json key missing",
        train("train.jsonl"),
        "train.jsonl:2: there is no key 'text' for text; keys are 'txt', 'label'; did you mean 'txt'?",
        {"train.jsonl": jsonl(POS, {"txt": "bad", "label": "neg"})},
    ),
    Case(
        "json key twice",
        train("train.jsonl"),
        "train.jsonl:2: the key 'text' is there twice in one object",
        {"train.jsonl": jsonl(POS, '{"text": "bad", "text": "dull", "label": "neg"}')},
    ),
    Case(
        "json list as label",
        train("train.jsonl"),
        "train.jsonl:2: the label must be a name or a whole number, got ['neg']; "
        "several labels a text want --multi-label",
        {"train.jsonl": jsonl(POS, {"text": "bad", "label": ["neg"]})},
    ),
    Case(
        "json fraction as label",
        train("train.jsonl"),
        "train.jsonl:2: the label must be a name or a whole number, got 0.5",
        {"train.jsonl": jsonl(POS, {"text": "bad", "label": 0.5})},
    ),
    Case(
        "pairs and single texts",
        train("train.jsonl"),
        "train.jsonl:2: found a single text, wanted a pair like those of training",
        {"train.jsonl": jsonl({**POS, "text_b": "dull"}, NEG)},
    ),
    Case(
        "corrupt parquet",
        train("train.parquet"),
        ("train.parquet: not a whole Parquet file: ",),
        {"train.parquet": b"PAR1 and then nothing of the kind"},
    ),
    Case(
        "null in parquet",
        train("train.parquet"),
        "train.parquet:2: 'text' is null, and text needs a value",
        {"train.parquet": parquet(text=["good", None], label=["pos", "neg"])},
    ),
    Case(
        "csv read as jsonl",
        flags("--format", "jsonl"),
        "train.csv:1: not valid JSON at column 1: Expecting value; JSONL holds one object a line",
    ),
]

TRAIN_HELP = "(bertsmith train --help lists the flags)"

FLAGS = [
    Case("negative epochs", flags("--epochs=-1"), "epochs must be greater than 0, got -1.0"),
    Case("nan epochs", flags("--epochs", "nan"), "epochs must be a finite number, got nan"),
    Case("infinite clip", flags("--clip", "inf"), "clip must be a finite number, got inf"),
    Case("word as number", flags("--epochs", "three"), f"--epochs must be a number, got 'three' {TRAIN_HELP}"),
    Case(
        "fraction as whole number",
        flags("--batch-size", "2.5"),
        f"--batch-size must be a whole number, got '2.5' {TRAIN_HELP}",
    ),
    Case("zero batch", flags("--batch-size", "0"), "batch_size must be greater than or equal to 1, got 0"),
    Case("rate above 1", flags("--learning-rate", "2"), "learning_rate must be less than or equal to 1, got 2.0"),
    Case("threshold above 1", flags("--threshold", "1.5"), "threshold must be less than 1, got 1.5"),
    Case("dropout of all", flags("--dropout", "1"), "dropout must be less than 1, got 1.0"),
    Case("all held out", flags("--dev-fraction", "1"), "dev_fraction must be less than 1, got 1.0"),
    Case("max length small", flags("--max-length", "3"), "max_length must be greater than or equal to 4, got 3"),
    Case("max length large", flags("--max-length", "49"), "max_length must be at most 48 for encoder, got 49"),
    Case(
        "max length small for pairs",
        train("pairs.jsonl", "--max-length", "4"),
        "max_length must be at least 5, got 4: 3 special tokens and one piece of each of two texts",
        {"pairs.jsonl": jsonl({**POS, "text_b": "dull"}, {**NEG, "text_b": "warm"})},
    ),
    Case(
        "overlap too large",
        flags("--long-texts", "windows", "--max-length", "20", "--overlap", "18"),
        "overlap must be at least 0 and less than 18, got 18: max_length 20 less 2 special tokens leaves 18",
    ),
    Case(
        "too many frozen layers",
        flags("--freeze", "3"),
        "freeze must be at most 2, the encoder's layers, or 'encoder', got 3",
    ),
    Case(
        "freeze misspelt",
        flags("--freeze", "encodr"),
        f"--freeze must be a whole number or 'encoder', got 'encodr'; did you mean 'encoder'? {TRAIN_HELP}",
    ),
    Case(
        "too many new layers", flags("--reinit-top", "3"), "reinit_top must be at most 2, the encoder's layers, got 3"
    ),
    Case(
        "unknown preset",
        flags("--preset", "stabel"),
        "preset must be one of 'stable', 'features', 'quick', got 'stabel'; did you mean 'stable'?",
    ),
    Case(
        "unknown format",
        flags("--format", "tvs"),
        "--format must be one of 'auto', 'csv', 'tsv', 'jsonl', 'parquet', 'conll', 'conllu', 'squad', "
        "'lines', got 'tvs'; "
        f"did you mean 'tsv'? {TRAIN_HELP}",
    ),
    Case(
        "unknown encoding",
        flags("--encoding", "utf-99"),
        "--encoding: unknown encoding: utf-99; known are 'utf-8', 'latin-1', 'utf-16' …",
    ),
    Case("long delimiter", flags("--delimiter", "ab"), "--delimiter must be one character or 'tab', got 'ab'"),
    Case("empty separator", flags("--separator", ""), "separator must be at least 1 character long, got ''"),
    Case(
        "unknown device",
        flags("--device", "gpu"),
        ("device 'gpu' cannot be used here: ", "; devices are auto, cpu, cuda, cuda:1, mps …"),
    ),
    Case("device that cannot compute", flags("--device", "meta"), ("device 'meta' cannot be used here: ",)),
    Case(
        "a label left out",
        flags("--labels", "neg,good"),
        "train.csv:2: label 'pos' is not one of 'neg', 'good'",
    ),
    Case("labels twice", flags("--labels", "neg,pos,pos"), "labels must differ, got 'neg', 'pos', 'pos'"),
    Case(
        "weight of no label",
        flags("--class-weights", "post=2"),
        "class_weights: 'post' is not one of 'neg', 'pos'; did you mean 'pos'?",
    ),
    Case(
        "weight that is none",
        flags("--class-weights", "balance"),
        "class_weights must be none, balanced, or label=weight,label=weight, got 'balance'",
    ),
    Case("negative weight", flags("--class-weights", "pos=-1"), "class_weights must be weights above 0, got 'pos=-1'"),
    Case(
        "thresholds without multi-label",
        flags("--tune-thresholds"),
        "tune_thresholds must be false without multi_label, got True",
    ),
    Case(
        "another task's flag",
        train("train.csv", "--multi-label", task="regress"),
        f"--multi-label is an option of classify models, and here the task is regress {TRAIN_HELP}",
    ),
    Case("flag misspelt", flags("--ephocs", "3"), f"unknown flag '--ephocs'; did you mean '--epochs'? {TRAIN_HELP}"),
    Case("flag twice", flags("--seed", "1", "--seed", "2"), f"--seed is there twice {TRAIN_HELP}"),
    Case("flag without value", flags("--seed"), f"--seed needs a value {TRAIN_HELP}"),
    Case(
        "task misspelt",
        train(task="clasify"),
        "unknown task 'clasify'; the tasks are 'answer', 'classify', 'mlm', 'nsp', 'regress', 'tag'; "
        "did you mean 'classify'?",
    ),
    Case(
        "no task",
        "train",
        "which task? one of 'answer', 'classify', 'mlm', 'nsp', 'regress', 'tag', as in: bertsmith train classify …",
    ),
    Case(
        "no train",
        "train classify --out out",
        "'train' is missing: the file of rows to learn from, as in --train train.csv",
    ),
    Case(
        "no out",
        "train classify --train train.csv",
        "'out' is missing: the folder for the trained model, as in --out runs/mine",
    ),
    Case(
        "out is there",
        train(),
        "out: is there already; choose another --out, or replace it with --overwrite",
        {"out": lambda path: path.mkdir()},
    ),
    Case(
        "out is someone else's",
        flags("--overwrite"),
        "out: holds no bertsmith.json, so bertsmith did not write it and will not replace it; choose another folder",
        {"out/thesis.tex": "all of it"},
    ),
    Case("out is a file", flags("--overwrite"), "out: is a file; give the name of a new folder", {"out": "notes"}),
    Case("out is here", train(out="."), "out must be a folder's name, got '.'"),
    Case(
        "out below a file",
        train(out="train.csv/out"),
        ("train.csv/out: ", "train.csv is a file, and cannot hold a folder; choose another --out"),
    ),
    Case(
        "a run not ended",
        train(),
        "out.partial: a run that has not ended is there; go on with --resume out, or begin anew with --overwrite",
        {"out.partial/run.toml": ""},
    ),
    Case(
        "bad data does not cost the run not ended",
        train("trian.csv", "--overwrite"),
        "trian.csv: no such file; did you mean 'train.csv'?",
        {"out.partial/run.toml": ""},
    ),
    Case(
        "resume nothing",
        "train --resume out",
        "--resume out: there is no stopped run, which would be in out.partial",
    ),
    Case(
        "resume what has ended",
        "train --resume model",
        "--resume model: there is no stopped run, which would be in model.partial; the run model has ended",
    ),
    Case(
        "resume with other data",
        "train --resume out",
        (
            "out.partial/state.safetensors: cannot resume: train data was ",
            " when the state was saved, now it is ",
        ),
        {"out.partial": stopped, "train.csv": GOOD.replace("bad", "cold")},
    ),
    Case(
        "resume a damaged state",
        "train --resume out",
        ("out.partial/state.safetensors: not a whole state of a run: ",),
        {"out.partial": stopped, "out.partial/state.safetensors": b"half of i"},
    ),
    Case(
        "resume otherwise",
        "train --resume out --epochs 3",
        "--resume takes the settings of the run it goes on with; give no others beside it",
    ),
    Case(
        "toml misspelt",
        "train --config run.toml",
        "run.toml: unknown setting 'epohcs'; did you mean 'epochs'?",
        toml('task = "classify"\nepohcs = 3\n'),
    ),
    Case(
        "toml of another type",
        "train --config run.toml",
        "run.toml: epochs must be a valid number, got '3'",
        toml('task = "classify"\nepochs = "3"\n'),
    ),
    Case(
        "toml blamed for the flag",
        "train --config run.toml --epochs=-1",
        "epochs must be greater than 0, got -1.0",
        toml('task = "classify"\nepochs = 3\n'),
    ),
    Case(
        "toml broken",
        "train --config run.toml",
        ("run.toml: not a TOML file: ", "(at line 1, column 8)"),
        toml("task = classify\n"),
    ),
    Case(
        "toml task misspelt",
        "train --config run.toml",
        "run.toml: unknown task 'clasify'; the tasks are 'answer', 'classify', 'mlm', 'nsp', 'regress', 'tag'; "
        "did you mean 'classify'?",
        toml('task = "clasify"\n'),
    ),
    Case(
        "toml key twice",
        "train classify --config=run.toml",
        "run.toml: 'batch_size' is there twice, as 'batch-size' too",
        toml("batch-size = 1\nbatch_size = 2\n"),
    ),
    Case("toml missing", "train --config run.toml", "run.toml: no such file"),
    Case(
        "command misspelt",
        "trian classify",
        "unknown command 'trian'; the commands are demo, check, train, evaluate, predict, export, adapt, "
        "pretrain, fill, next, coherence, score, tasks, env; "
        "did you mean 'train'?",
    ),
    Case(
        "flag of tasks misspelt",
        "tasks --jsn",
        "unknown flag '--jsn'; did you mean '--json'? (bertsmith tasks --help lists the flags)",
    ),
]

ENCODERS = [
    Case(
        "no such encoder",
        "train classify --train train.csv --out out --encoder nix",
        "nix: no such folder; an encoder is a folder, 'minilm' (the packaged one) or 'org/name' on the hub",
    ),
    Case(
        "encoder on a hub out of reach",
        "train classify --train train.csv --out out --encoder nobody/nothing",
        "nobody/nothing: no such folder, not in the hub's cache, and the hub cannot be reached (HF_HUB_OFFLINE is set)",
    ),
    Case(
        "encoder is a file",
        "train classify --train train.csv --out out --encoder train.csv",
        "train.csv: this is a file; an encoder is a folder that holds config.json",
    ),
    Case("no config", train(), "encoder/config.json: missing", {"encoder": spoiled("encoder", "config.json")}),
    Case(
        "no weights",
        train(),
        "encoder/model.safetensors: missing; an encoder's weights are model.safetensors, or shards with an index",
        {"encoder": spoiled("encoder", "model.safetensors")},
    ),
    Case(
        "pickle only",
        train(),
        (
            "encoder: holds only pickled weights ('pytorch_model.bin'), which can run any code when opened.",
            "AutoModel.from_pretrained('encoder').save_pretrained('encoder')",
        ),
        {"encoder": spoiled("encoder", "model.safetensors", pytorch_model__bin=b"\x80\4.")},
    ),
    Case(
        "weights cut short",
        train(),
        (f"encoder/model.safetensors: {NOT_A_WHOLE}",),
        {"encoder": spoiled("encoder", model__safetensors=lambda content: content[:-100])},
    ),
    Case(
        "weights of another kind",
        train(),
        (f"encoder/model.safetensors: {NOT_A_WHOLE}",),
        {"encoder": spoiled("encoder", model__safetensors=b"\x80\4.")},
    ),
    Case(
        "index leads outside",
        train(),
        "encoder/model.safetensors.index.json: tensor 'a' must be in a file of this folder, got '../secret'",
        {
            "encoder": spoiled(
                "encoder",
                "model.safetensors",
                model__safetensors__index__json=b'{"weight_map": {"a": "../secret"}}',
            )
        },
    ),
    Case(
        "config is no json",
        train(),
        ("encoder/config.json: not JSON: ",),
        {"encoder": spoiled("encoder", config__json=b"{")},
    ),
    Case(
        "huge config",
        train(),
        "encoder/config.json: hidden_size must be a whole number from 1 to 32768, got 1000000000",
        config(hidden_size=10**9),
    ),
    Case(
        "odd heads",
        train(),
        "encoder/config.json: hidden_size 32 is not a multiple of num_attention_heads 3",
        config(num_attention_heads=3),
    ),
    Case(
        "another family",
        train(),
        f"encoder/config.json: model_type 'gpt2' is not a family bertsmith knows: {FAMILIES}",
        config(model_type="gpt2"),
    ),
    Case(
        "config does not fit the weights",
        train(),
        "encoder/model.safetensors: tensor 'embeddings.word_embeddings.weight' has shape (27, 32), "
        "config.json asks for (27, 64)",
        config(hidden_size=64),
    ),
    Case(
        "more layers than weights",
        train(),
        "encoder: tensor 'bert.encoder.layer.2.attention.self.query.weight' is missing, wanted with shape (32, 32)",
        config(num_hidden_layers=3),
    ),
    Case(
        "no tokenizer",
        train(),
        "encoder: no tokenizer: neither tokenizer.json, nor vocab.txt, nor vocab.json with merges.txt",
        {"encoder": spoiled("encoder", "vocab.txt")},
    ),
    Case(
        "more pieces than embeddings",
        train(),
        "encoder: the tokenizer's largest id is 28, the encoder embeds 27 ids, from 0 on",
        {"encoder": spoiled("encoder", vocab__txt=lambda content: content + b"more\npieces\n")},
    ),
    Case(
        "piece twice",
        train(),
        "encoder/vocab.txt:28: 'good' stands in line 6 already; a piece has one id",
        {"encoder": spoiled("encoder", vocab__txt=lambda content: content + b"good\n")},
    ),
]

MODELS = [
    Case("no such model", "predict nix good", "nix: no such folder; a bundle is a folder that 'train' wrote"),
    Case(
        "model not ended",
        "predict out good",
        "out: no such folder; a bundle is a folder that 'train' wrote; a run that has not ended is in out.partial: "
        "go on with --resume",
        {"out.partial/run.toml": ""},
    ),
    Case(
        "an encoder is no model",
        "predict encoder good",
        "encoder: holds no bertsmith.json, and config.json's architectures 'BertModel' are of no task "
        "('answer', 'classify', 'mlm', 'nsp', 'regress', 'tag'); to train from it, name it as the --encoder",
    ),
    Case(
        "one bit changed",
        "predict model good",
        "model/model.safetensors: sha256 differs from bertsmith.json: the file was changed after it was saved",
        {"model": spoiled("model", model__safetensors=one_bit_off)},
    ),
    Case(
        "model cut short",
        "predict model good",
        ("model/model.safetensors: ", " bytes, bertsmith.json says ", ": cut short or changed"),
        {"model": spoiled("model", model__safetensors=lambda content: content[:-9])},
    ),
    Case(
        "part missing",
        "predict model good",
        "model/tokenizer.json: missing, although bertsmith.json names it",
        {"model": spoiled("model", "tokenizer.json")},
    ),
    Case(
        "newer format",
        "predict model good",
        ("model/bertsmith.json: format 2, this bertsmith ", " reads 1"),
        {"model": spoiled("model", bertsmith__json=keys(format=2))},
    ),
    Case(
        "unknown task",
        "evaluate model train.csv",
        "model/bertsmith.json: the task cannot be read: unknown task 'tagg'; the tasks are 'answer', 'classify', "
        "'mlm', 'nsp', 'regress', 'tag'; did you mean 'tag'?",
        {"model": spoiled("model", bertsmith__json=keys(task="tagg"))},
    ),
    Case(
        "unknown option",
        "predict model good",
        "model/bertsmith.json: option 'newer' cannot be read: Extra inputs are not permitted",
        {"model": spoiled("model", bertsmith__json=keys(options={"newer": 1}))},
    ),
    Case(
        "single text to a pair model",
        "predict pair good",
        "the text given: found a single text, wanted a pair like those of training",
    ),
    Case(
        "pair to a single-text model",
        "predict model good bad",
        "the text given: found a pair of texts, wanted a single text like those of training",
    ),
    Case(
        "file of single texts to a pair model",
        "predict pair train.csv",
        f"train.csv:1: there is no column for {LOOKED_FOR_TEXT_B}; columns are 1 'text', 2 'label'; "
        "name it: --text-b NAME",
    ),
    Case(
        "text that looks like a file",
        "predict model trian.csv",
        "trian.csv: no such file (to answer for it as a text, pipe it in: echo … | bertsmith predict …)",
    ),
    Case(
        "column of a text",
        "predict model good --text body",
        "--text is about files, and a text was given",
    ),
    Case(
        "text and file",
        "predict model good --file train.csv",
        "--file train.csv and 'good' are both given; which is to be answered for?",
    ),
    Case(
        "column kept where the answer is",
        "predict model train.csv --keep label --out answers.jsonl",
        "--keep label: every answer has a 'label' of its own "
        "(evaluate --predictions writes the labels of a file beside the answers)",
    ),
    Case(
        "answers over the questions",
        "predict model train.csv --out train.csv",
        "--out train.csv: this is the file to answer for; give another",
    ),
    Case("missing file by flag", "predict model --file trian", "trian: no such file"),
    Case(
        "null in the middle",
        "predict model rows.jsonl --out answers.jsonl",
        "rows.jsonl:2: 'text' is null, and text needs a value",
        {"rows.jsonl": jsonl(POS, {"text": None})},
    ),
    Case("answers into a folder", "predict model good --out model", "model: is a folder; give the file to write"),
    Case(
        "answers into no folder",
        "predict model good --out nix/answers.jsonl",
        "nix/answers.jsonl: there is no folder 'nix' to write it to",
    ),
    Case(
        "text that looks like a flag",
        "predict model '-5 degrees'",
        "unknown flag '-5 degrees'; a text that begins with - goes after -- (bertsmith predict --help lists the flags)",
    ),
    Case(
        "text without quotes",
        "predict model a good film",
        "'film' is one argument too many; a text with blanks goes between quotation marks "
        "(bertsmith predict --help lists the flags)",
    ),
    Case(
        "no model named",
        "predict",
        "MODEL is missing: the folder of a trained model (bertsmith predict --help lists the flags)",
    ),
    Case(
        "zero rows ahead",
        "predict model good --look-ahead 0",
        "--look-ahead must be at least 1, got 0",
    ),
    Case(
        "overlap too large at use",
        "predict model good --long-texts windows --overlap 46",
        "overlap must be at least 0 and less than 46, got 46: max_length 48 less 2 special tokens leaves 46",
    ),
    Case(
        "scoring without labels",
        "evaluate model texts.csv",
        f"texts.csv:1: there is no column for {LOOKED_FOR_LABEL}; columns are 1 'text'; name it: --label NAME",
        {"texts.csv": "text\ngood\n"},
    ),
    Case(
        "scoring an unknown label",
        "evaluate model texts.csv",
        "texts.csv:2: label 'poss' is not one of 'neg', 'pos'; did you mean 'pos'?",
        {"texts.csv": "text,label\ngood,poss\n"},
    ),
    Case(
        "scoring words as numbers",
        "evaluate number train.jsonl --label score",
        "train.jsonl:1: label 'high' is not a finite number, as 'regress' needs",
        {"train.jsonl": jsonl({"text": "good", "text_b": "bad", "score": "high"})},
    ),
    Case(
        "negative resamples",
        "evaluate model train.csv --resamples=-1",
        "--resamples must be at least 0, got -1",
    ),
    Case(
        "scores of predictions into no folder",
        "evaluate model train.csv --predictions nix/p.jsonl",
        "nix/p.jsonl: there is no folder 'nix' to write it to",
    ),
    Case(
        "demo of no task",
        "demo --task clasify",
        "there is no sample for 'clasify', only for 'classify', 'regress', 'tag', 'answer'; did you mean 'classify'?",
    ),
]

CASES = [*FILES, *FLAGS, *ENCODERS, *MODELS]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_broken_input(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    case.build(tmp_path)
    before = _tree(tmp_path)
    outcome = bertsmith(*shlex.split(case.command))
    *_, last = outcome.err.splitlines()
    message = last.removeprefix("error: ")
    if isinstance(case.says, str):
        assert message == case.says
    else:
        assert message.startswith(case.says[0])
        assert _in_order(case.says, message), message
    assert outcome.code == case.code
    assert outcome.err.count("error: ") == 1
    assert "Traceback" not in outcome.err
    assert outcome.out == ""
    assert _tree(tmp_path) == before, "nothing is written, and nothing taken away"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is an accelerator")
def test_a_device_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case("no accelerator", flags("--device", "cuda"), ("device 'cuda' cannot be used here: ",))
    test_broken_input(case, tmp_path, monkeypatch)


def test_names_of_cases_differ() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names)


def _tree(folder: Path) -> dict[str, bytes | None]:
    """All files with their content, but for the models, and for the log that a resumed run goes on with."""
    files = (path for path in folder.rglob("*") if not path.is_symlink() and path.name != "metrics.jsonl")
    return {str(path): path.read_bytes() if path.is_file() else None for path in files}


def _in_order(parts: Iterable[str], message: str) -> bool:
    at = 0
    for part in parts:
        at = message.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return True
