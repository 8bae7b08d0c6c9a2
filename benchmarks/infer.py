"""How many texts a second does a trained classifier answer for, and how long does one request take? Beside its peers.

    python benchmarks/infer.py                          # MiniLM, trained on some of SST-2; its dev, and long abstracts
    python benchmarks/infer.py --texts mine.csv --long reports.jsonl --train train.csv     # your texts
    python benchmarks/infer.py --model runs/mine --texts mine.csv                          # and your classifier

ours: `bertsmith.load(folder).predict(texts)`, with every backend that is there. pipeline: `transformers.pipeline`, with
batches of 1 and of 32. hf: the model in transformers, sorted by length, batches of 32 padded to their longest, float32
and bfloat16. ov: the same driven through OpenVINO, converted by hand: float32, bfloat16, and int8 (NNCF, calibrated on
training rows). Tokenising is counted in all of them; loading and the first pass are not.

Throughput is of whole sets, all ways in turn, a pass each. Agreement is the share of texts that get the label which the
model in transformers gives in float32. Latency is the median of single requests, at 24 and 128 pieces. Every way has a
process of its own and the same number of threads, for tokenising, too.
"""

from __future__ import annotations

import inspect
import json
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import _measure as measure
from _measure import Spread

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping, Sequence

BATCH = 32
CALIBRATION = 300  # rows
LATENCY_LENGTHS = (24, 128)
OURS = ("ours:torch", "ours:onnx", "ours:openvino", "ours:onnx-int8", "ours:openvino-int8")
PEERS = ("pipeline:1", "pipeline:32", "hf:fp32", "hf:bf16", "ov:fp32", "ov:bf16", "ov:int8")
REFERENCE = "hf:fp32"
# what takes long to convert, or to run
NOT_QUICK = ("ours:onnx-int8", "ours:openvino-int8", "pipeline:1", "hf:bf16", "ov:fp32", "ov:int8")


# ----------------------------------------------------------------------------------------------------------- the ways


def ours(config: Mapping[str, Any], turns: measure.Turns) -> None:
    """bertsmith, with a backend behind the colon."""
    import bertsmith

    backend = config["way"].partition(":")[2]
    if backend == "torch":
        import torch

        torch.set_num_threads(config["threads"])
    elif "backend" not in inspect.signature(bertsmith.load).parameters:
        turns.ready(missing="this bertsmith has no backends but torch")
    try:
        named = {"backend": backend} if "backend" in inspect.signature(bertsmith.load).parameters else {}
        model = bertsmith.load(config["model"], **named)
    except bertsmith.BertsmithError as error:
        turns.ready(missing=f"{type(error).__name__}: {error}")
        return
    answer(config, turns, lambda texts: [each.label for each in model.predict(texts)])


def export(config: Mapping[str, Any], turns: measure.Turns) -> None:
    """Not measured: the forms of the model that bertsmith's other backends compute, where it can export them."""
    import bertsmith
    from bertsmith.data import ReadOptions

    try:
        bertsmith_export = bertsmith.export
    except AttributeError:
        turns.ready(missing="this bertsmith exports nothing")
        return
    refused = []
    for form in config["forms"]:
        to, _, int8 = form.partition("-")
        try:
            bertsmith_export(
                config["model"], to=to, int8=bool(int8), dev=config["dev"], columns={}, reading=ReadOptions(),
                overwrite=True, **({"calibrate": config["calibrate"]} if int8 else {}), **config["bounds"],
            )  # fmt: skip
        except Exception as error:  # a form that is refused, or lacks a package, is said, and leaves the others
            refused.append(f"{form}: {type(error).__name__}: {error}")
    turns.ready(**({"missing": "; ".join(refused)} if refused else {}))


def pipeline(config: Mapping[str, Any], turns: measure.Turns) -> None:
    """transformers' own way, with so many texts in a batch."""
    import torch
    import transformers

    quiet(transformers)
    torch.set_num_threads(config["threads"])
    made = transformers.pipeline("text-classification", model=config["model"], tokenizer=config["model"], device="cpu")
    batch = int(config["way"].partition(":")[2])

    def classify(texts: Sequence[str]) -> list[str]:
        found = made(list(texts), batch_size=batch, truncation=True, max_length=config["max_length"])
        return [each["label"] for each in found]

    answer(config, turns, classify)


def hf(config: Mapping[str, Any], turns: measure.Turns) -> None:
    """The model in transformers, in sorted batches."""
    import torch
    import transformers

    quiet(transformers)
    torch.set_num_threads(config["threads"])
    model = transformers.AutoModelForSequenceClassification.from_pretrained(config["model"], dtype=torch.float32).eval()
    if config["way"].endswith("bf16"):
        model = model.bfloat16()
    takes = inspect.signature(model.forward).parameters

    def logits(batch: Mapping[str, Any]) -> Any:
        with torch.inference_mode():
            tensors = {name: torch.from_numpy(values) for name, values in batch.items() if name in takes}
            return model(**tensors).logits.float().numpy()

    answer(config, turns, in_sorted_batches(config, logits, model.config.id2label))


def ov(config: Mapping[str, Any], turns: measure.Turns) -> None:
    """The model in OpenVINO, in the same sorted batches."""
    try:
        import openvino
    except ImportError as error:
        turns.ready(missing=f"openvino is not installed: {error}")
        return
    kind = config["way"].partition(":")[2]
    file = Path(config["work"]) / ("int8.xml" if kind == "int8" else "float.xml")
    if not file.exists():
        turns.ready(missing=f"{file.name} was not converted")
        return
    hint = "f32" if kind == "fp32" else "bf16"
    if hint == "bf16" and "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        hint = "f32"
    compiled = openvino.Core().compile_model(
        str(file), "CPU",
        {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": config["threads"], "PERFORMANCE_HINT": "LATENCY"},
    )  # fmt: skip
    request = compiled.create_infer_request()
    takes = {name for each in compiled.inputs for name in each.get_names()}
    names = json.loads((Path(config["model"]) / "config.json").read_text(encoding="utf-8"))["id2label"]

    def logits(batch: Mapping[str, Any]) -> Any:
        return request.infer({name: values for name, values in batch.items() if name in takes})[compiled.output(0)]

    answer(config, turns, in_sorted_batches(config, logits, {int(key): name for key, name in names.items()}))


def convert(config: Mapping[str, Any], turns: measure.Turns) -> None:
    """Not measured: OpenVINO's files, of float and of int8, for the ways that drive them."""
    try:
        import openvino

        _convert(config, openvino)
    except Exception as error:  # a peer that cannot be made is said, and does not stop the others
        turns.ready(missing=f"{type(error).__name__}: {error}")
    turns.ready()


def _convert(config: Mapping[str, Any], openvino: Any) -> None:
    import torch
    import transformers

    quiet(transformers)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(config["model"], dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(config["model"])
    example = dict(tokenizer(["a first text", "a second one that is longer"], padding=True, return_tensors="pt"))
    made = openvino.convert_model(model, example_input=example)
    work = Path(config["work"])
    openvino.save_model(made, work / "float.xml", compress_to_fp16=False)
    if not config["int8"]:
        return
    import nncf

    texts = json.loads(Path(config["calibration"]).read_text(encoding="utf-8"))

    def inputs(text: str) -> dict[str, Any]:
        return dict(tokenizer([text], truncation=True, max_length=config["max_length"], return_tensors="np"))

    quantised = nncf.quantize(
        openvino.Core().read_model(work / "float.xml"), nncf.Dataset(texts, inputs),
        model_type=nncf.ModelType.TRANSFORMER, subset_size=len(texts),
    )  # fmt: skip
    openvino.save_model(quantised, work / "int8.xml", compress_to_fp16=False)


WAYS = {"ours": ours, "pipeline": pipeline, "hf": hf, "ov": ov, "convert": convert, "export": export}


def quiet(transformers: Any) -> None:
    """No progress bars and advice."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()


def in_sorted_batches(
    config: Mapping[str, Any], logits: Callable[[Mapping[str, Any]], Any], names: Mapping[int, str]
) -> Callable[[Sequence[str]], list[str]]:
    """Texts to labels: all tokenised at once, sorted by length, in batches padded to their longest."""
    import numpy as np
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(config["model"])
    pad = tokenizer.pad_token_id

    def classify(texts: Sequence[str]) -> list[str]:
        given = tokenizer(list(texts), truncation=True, max_length=config["max_length"])
        pieces = given["input_ids"]
        labels = [""] * len(texts)
        order = sorted(range(len(texts)), key=lambda row: len(pieces[row]), reverse=True)
        for begin in range(0, len(order), BATCH):
            rows = order[begin : begin + BATCH]
            longest = len(pieces[rows[0]])
            batch = {name: np.full((len(rows), longest), pad if name == "input_ids" else 0) for name in given}
            for at, row in enumerate(rows):
                for name, padded in batch.items():
                    padded[at, : len(pieces[row])] = given[name][row]
            for row, best in zip(rows, logits(batch).argmax(-1).tolist(), strict=True):
                labels[row] = names[best]
        return labels

    return classify


def answer(config: Mapping[str, Any], turns: measure.Turns, classify: Callable[[Sequence[str]], list[str]]) -> None:
    """Take turns, of a whole set or of single requests, whichever is asked for. All has been done twice before: what a
    process prepares once it sees that it has much to do is ready by then."""
    work = json.loads(Path(config["texts"]).read_text(encoding="utf-8"))
    sets, requests = work["sets"], work["requests"]
    for text in requests.values():
        for _ in range(10):
            classify([text])
    for texts in sets.values():
        classify(texts)
    turns.ready(labels={name: classify(texts) for name, texts in sets.items()})
    while True:
        if turns.what in sets:
            classify(sets[turns.what])
            turns.step(texts=len(sets[turns.what]), tokens=work["tokens"][turns.what])
            continue
        times = []
        for _ in range(config["requests"]):
            began = time.perf_counter()
            classify([requests[turns.what]])
            times.append(1000 * (time.perf_counter() - began))
        turns.step(median_ms=statistics.median(times))


# ----------------------------------------------------------------------------------------------------------- the texts


def read_texts(file: Path, column: str | None = None, label: str | None = None) -> tuple[list[str], list[str] | None]:
    """The texts of a file, with their labels if it has any. Plain .txt: paragraphs, blank lines between."""
    if file.suffix == ".txt":
        paragraphs = file.read_text(encoding="utf-8").split("\n\n")
        return [" ".join(each.split()) for each in paragraphs if each.strip()], None
    from bertsmith.data import ReadOptions, open_rows
    from bertsmith.errors import InputError
    from bertsmith.tasks.classify import Classify

    columns = {name: value for name, value in (("text", column), ("label", label)) if value is not None}

    def values(*, labels: bool) -> list[Mapping[str, Any]]:
        wanted = columns if labels else {name: value for name, value in columns.items() if name != "label"}
        inputs = Classify().wanted_inputs()
        rows = open_rows(file, inputs, columns=wanted, texts=("text",), training=labels, options=ReadOptions())
        return [row.values for row in rows]

    try:
        found = values(labels=True)
    except InputError:
        if label is not None:
            raise  # a column that was asked for is not left out silently
        found = values(labels=False)
    labels = [each.get("label") for each in found]
    return [each["text"] for each in found], None if None in labels else [str(each) for each in labels]


def put_together(texts: Sequence[str], count: int, tokenizer: Any, *, longest: int) -> list[str]:
    """Long texts out of short ones: as many as give a quarter to all of `longest` pieces."""
    chance = random.Random(1)
    found = []
    for _ in range(count):
        wanted, parts = chance.randint(longest // 4, longest - 2), [chance.choice(texts)]
        while pieces_of(" ".join(parts), tokenizer) < wanted:
            parts.append(chance.choice(texts))
        found.append(" ".join(parts))
    return found


def of_length(texts: Sequence[str], pieces: int, tokenizer: Any) -> str:
    """A text of so many pieces, special ones included, out of the words of others; or of nearly so many."""
    words, text = " ".join(texts[:200]).split() * 50, ""
    for word in words:
        longer = f"{text} {word}".strip()
        if pieces_of(longer, tokenizer) > pieces:
            if pieces_of(text, tokenizer) == pieces:
                break
            continue  # a word of several pieces; a shorter one may still fit
        text = longer
        if pieces_of(text, tokenizer) == pieces:
            break
    return text


def pieces_of(text: str, tokenizer: Any) -> int:
    """How many pieces a text has, special ones included."""
    return len(tokenizer.encode([text], max_length=100_000)[0])


def trained(train: Path, folder: Path, *, encoder: str, steps: int, threads: int, columns: Mapping[str, str]) -> Path:
    """A classifier that bertsmith trained for some steps: enough for its answers to be sure ones."""
    import bertsmith

    measure.say(f"training a classifier for {steps} steps")
    settings = bertsmith.Settings(
        train=train, out=folder, encoder=encoder, max_steps=steps, dev_fraction=0, keep="last", threads=threads,
        columns=dict(columns), device="cpu",
    )  # fmt: skip
    bertsmith.train("classify", settings)
    return folder


# --------------------------------------------------------------------------------------------------------- measuring


def compare(
    sets: Mapping[str, tuple[Sequence[str], Sequence[str] | None]],
    requests: Mapping[str, str],
    ways: Sequence[str],
    shared: Mapping[str, Any],
    *,
    rounds: int,
) -> dict[str, Any]:
    """Every set and every single request, all ways in turn: texts a second, agreement with float32, accuracy where
    labels are known; ms a request; and the ratios of ours to the others.

    sets: by name, texts and their labels. requests: texts by their number of pieces.
    """
    from bertsmith.bundle import Bundle

    tokenizer = Bundle.load(shared["model"]).tokenizer
    lengths = {
        name: [len(each) for each in tokenizer.encode(list(texts), max_length=shared["max_length"])]
        for name, (texts, _) in sets.items()
    }
    file = Path(shared["work"]) / "texts.json"
    work = {"sets": {name: list(texts) for name, (texts, _) in sets.items()}, "requests": dict(requests),
            "tokens": {name: sum(each) for name, each in lengths.items()}}  # fmt: skip
    file.write_text(json.dumps(work), encoding="utf-8")
    config = {**shared, "texts": str(file)}
    with measure.started(__file__, dict.fromkeys(ways, config), threads=shared["threads"]) as running:
        labels = {name: way.facts["labels"] for name, way in running.items()}
        turns = {name: measure.in_turn(running, rounds=rounds, steps=1, warmup=0, what=name) for name in sets}
        # a pipeline of 32 answers for one text as that of 1 does
        single = {name: way for name, way in running.items() if name != "pipeline:32" or "pipeline:1" not in running}
        asked = {name: measure.in_turn(single, rounds=rounds, steps=1, warmup=0, what=name) for name in requests}
    found = {}
    for name, (texts, gold) in sets.items():
        fp32 = labels[REFERENCE][name] if REFERENCE in labels else None
        each = {way: _summed(of_way, labels[way][name], fp32, gold) for way, of_way in turns[name].items()}
        rates = {way: measure.rates(of_way, "texts") for way, of_way in turns[name].items()}
        found[name] = {"texts": len(texts), "tokens": sum(lengths[name]), "longest": max(lengths[name]), "ways": each,
                       "ratios": pairs(rates)}  # fmt: skip
    times = {
        name: {way: [turn.units["median_ms"] for turn in of_way] for way, of_way in each.items()}
        for name, each in asked.items()
    }
    return {
        "sets": found,
        "latency": {
            name: {"ways": {way: Spread.of(ms).record() for way, ms in each.items()}, "ratios": pairs(each)}
            for name, each in times.items()
        },
    }


def _summed(
    turns: Sequence[measure.Turn], labels: Sequence[str], fp32: Sequence[str] | None, gold: Sequence[str] | None
) -> dict[str, Any]:
    return {
        "texts_per_second": Spread.of(measure.rates(turns, "texts")).record(),
        "tokens_per_second": Spread.of(measure.rates(turns, "tokens")).record(),
        "agreement": None if fp32 is None else same(labels, fp32),
        "accuracy": None if gold is None else same(labels, gold),
        "cores_busy": measure.rounded(sum(each.cpu_seconds for each in turns) / sum(each.seconds for each in turns)),
        "peak_rss": turns[-1].peak_rss,
    }


def pairs(values: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Every way of ours over every peer, round by round."""
    return {
        f"{mine} / {theirs}": Spread.of(measure.ratios(values[mine], values[theirs])).record()
        for mine in values
        for theirs in values
        if mine.startswith("ours") and not theirs.startswith("ours")
    }


def same(given: Sequence[str], wanted: Sequence[str]) -> float:
    """The share that is the same."""
    return measure.rounded(sum(one == other for one, other in zip(given, wanted, strict=True)) / len(wanted))


def show(results: Mapping[str, Any]) -> str:
    """The tables of a run: one for each set, one of single requests."""
    parts = []
    for name, found in results["sets"].items():
        best = best_of_ours(found)
        rows = []
        for way, each in found["ways"].items():
            pair = found["ratios"].get(f"{best} / {way}")
            shares = ["–" if each[key] is None else f"{each[key]:.4f}" for key in ("agreement", "accuracy")]
            rows.append(
                [way, Spread.read(each["texts_per_second"]), Spread.read(pair) if pair else "", *shares,
                 f"{each['peak_rss'] / 1e6:,.0f}"]
            )  # fmt: skip
        head = ["way", "texts/s", f"{best} is × as fast", "same label as float32", "accuracy", "memory, MB"]
        longest = (
            f"{found['texts']:,} texts of {found['tokens'] / found['texts']:.0f} tokens, at most {found['longest']}"
        )
        parts.append(f"**{name}**: {longest}\n\n{measure.table(head, rows)}")
    latency = results["latency"]
    if latency:
        names = list(next(iter(latency.values()))["ways"])
        rows = [[name, *(Spread.read(each["ways"][name]) for each in latency.values())] for name in names]
        parts.append(measure.table(["one request, ms", *(f"{length} tokens" for length in latency)], rows))
    return "\n\n".join(parts)


def best_of_ours(found: Mapping[str, Any]) -> str:
    """The fastest of ours."""
    mine = {name: each["texts_per_second"]["median"] for name, each in found["ways"].items() if name.startswith("ours")}
    return max(mine, key=lambda name: mine[name], default="ours")


def command_line(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The options."""
    made = measure.parser(__doc__)
    made.add_argument("--model", type=Path, help="a classifier's folder; left out, one is trained")
    made.add_argument("--encoder", default="minilm", help="what it is trained from: a folder, or minilm (packaged)")
    made.add_argument("--train", type=Path, help="what it is trained on, and int8 calibrated (SST-2's)")
    made.add_argument("--train-steps", type=int, help="for so many steps (400)")
    made.add_argument("--texts", type=Path, help="the texts to answer for, with labels or without (SST-2's dev)")
    made.add_argument("--long", type=Path, help="long texts (abstracts; or short ones put together)")
    made.add_argument("--text", help="the column of the text, where it is not guessed")
    made.add_argument("--label", help="the column of the label, where it is not guessed")
    made.add_argument("--limit", type=int, help="so many of the texts (all; of the long ones 200)")
    made.add_argument("--max-length", type=int, default=512, help="most pieces of a text (512)")
    made.add_argument("--ways", help=f"of {','.join([*OURS, *PEERS])}; left out, all that can be had")
    made.add_argument("--rounds", type=int, help="turns of each way (5)")
    made.add_argument("--requests", type=int, help="single ones in a turn (100)")
    options = measure.settled(made, __file__, argv)
    quick = {"train_steps": 12, "rounds": 2, "requests": 10, "limit": 64}
    usual = {"train_steps": 400, "rounds": 5, "requests": 100, "limit": None}
    for name, value in (quick if options.quick else usual).items():
        setattr(options, name, getattr(options, name) or value)
    every = [name for name in (*OURS, *PEERS) if not options.quick or name not in NOT_QUICK]
    options.ways = options.ways.split(",") if options.ways else every
    for name in options.ways:
        if name not in (*OURS, *PEERS):
            made.error(f"--ways: {name!r} is not one of {', '.join([*OURS, *PEERS])}")
    return options


def columns_of(options: argparse.Namespace) -> dict[str, str]:
    """The columns that are named."""
    return {name: value for name, value in (("text", options.text), ("label", options.label)) if value}


def files_of(options: argparse.Namespace) -> tuple[Path, Path, Path | None]:
    """What to train on, the texts, and the long texts (None for such as are put together)."""
    folder = None if options.quick else measure.data_folder()
    inside = {"train": "sst2/train.tsv", "texts": "sst2/dev.tsv", "long": "pubmed_abstracts/abstracts.txt"}
    found = {name: folder / file for name, file in inside.items() if folder is not None and (folder / file).exists()}
    train = options.train or found.get("train") or measure.sample("classify", "train", "tsv")
    texts = options.texts or found.get("texts") or measure.sample("classify", "dev", "tsv")
    return train, texts, options.long or (None if options.texts else found.get("long"))


def main(argv: Sequence[str] | None = None) -> None:
    """The command line."""
    options = command_line(argv)
    train, short, long = files_of(options)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        model = options.model or trained(
            train, work / "model", encoder=options.encoder, steps=options.train_steps, threads=options.threads,
            columns=columns_of(options),
        )  # fmt: skip
        results = measure_all(options, model, work, train=train, short=short, long=long)
    encoder = options.model.name if options.model else Path(options.encoder).name
    key = options.name or f"{encoder}, {short.stem}{f', {long.stem}' if long else ''}"
    said = {"encoder": encoder, "train": train.name, "train_steps": options.train_steps, "texts": short.name,
            "long": long.name if long else "put together", "max_length": options.max_length, "rounds": options.rounds,
            "requests": options.requests, "calibration_rows": CALIBRATION}  # fmt: skip
    measure.write(options, key, results, config=said)
    print(show(results))


def export_all(
    model: Path,
    forms: Sequence[str],
    *,
    train: Path,
    dev: Path,
    columns: Mapping[str, str],
    threads: int,
    quick: bool,
) -> None:
    """Export a model in these forms, in a process of its own; what cannot be had, or is refused because its answers
    differ, is said. Of large files a thousand rows are enough; of one file, both have rows of their own. After the few
    steps of a quick form no answer is sure, so there nothing is refused."""
    if not forms:
        return
    with tempfile.TemporaryDirectory() as folder:
        step = 2 if train == dev else 1
        most = 50 if quick else 1000
        calibrate = some_rows(train, Path(folder) / "calibrate.jsonl", columns, part=slice(0, None, step), most=most)
        judges = some_rows(dev, Path(folder) / "judges.jsonl", columns, part=slice(step - 1, None, step), most=most)
        config = {
            "model": str(model), "forms": list(forms), "calibrate": str(calibrate), "dev": str(judges),
            "bounds": {"least_agreement": 0.0, "most_drift": 1.0} if quick else {}, "threads": threads,
        }  # fmt: skip
        with measure.started(__file__, {"export": config}, threads=threads):
            pass


def some_rows(file: Path, to: Path, columns: Mapping[str, str], *, part: slice, most: int) -> Path:
    """At most so many rows of that part of a file, drawn at random, as JSONL."""
    texts, labels = read_texts(file, columns.get("text"), columns.get("label"))
    of_part = range(len(texts))[part]
    rows = sorted(random.Random(1).sample(of_part, min(len(of_part), most)))
    records = ({"text": texts[row], **({} if labels is None else {"label": labels[row]})} for row in rows)
    to.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return to


def measure_all(
    options: argparse.Namespace, model: Path, work: Path, *, train: Path, short: Path, long: Path | None
) -> dict[str, Any]:
    """Both sets and the single requests."""
    from bertsmith.bundle import Bundle

    bundle = Bundle.load(model)
    max_length = min(options.max_length, bundle.max_length)
    chance = random.Random(1)
    known, _ = read_texts(train, options.text, options.label)
    calibration = work / "calibration.json"
    calibration.write_text(json.dumps(chance.sample(known, min(len(known), 20 if options.quick else CALIBRATION))))
    shared = {
        "model": str(model), "work": str(work), "threads": options.threads, "max_length": max_length,
        "calibration": str(calibration), "requests": options.requests, "int8": "ov:int8" in options.ways,
        "train": str(train),
    }  # fmt: skip
    made: dict[str, Mapping[str, Any]] = {}
    if any(name.startswith("ov") for name in options.ways):
        made["convert"] = shared
    with measure.started(__file__, made, threads=options.threads):
        pass
    forms = [name.partition(":")[2] for name in options.ways if name in OURS and name != "ours:torch"]
    texts, labels = read_texts(short, options.text, options.label)
    dev = train if labels is None else short
    columns = columns_of(options)
    export_all(model, forms, train=train, dev=dev, columns=columns, threads=options.threads, quick=options.quick)
    chosen = range(len(texts))[: options.limit]
    sets = {short.stem: ([texts[row] for row in chosen], None if labels is None else [labels[row] for row in chosen])}
    count = min(options.limit or 200, 8 if options.quick else 200)
    if long is None:
        sets["long"] = put_together(texts, count, bundle.tokenizer, longest=max_length), None
    else:
        whole, their = read_texts(long, options.text, options.label)
        rows = sorted(chance.sample(range(len(whole)), min(len(whole), options.limit or 200)))
        sets[long.stem] = [whole[row] for row in rows], None if their is None else [their[row] for row in rows]
    requests = {
        str(length): of_length(texts, length, bundle.tokenizer) for length in LATENCY_LENGTHS if length <= max_length
    }
    return compare(sets, requests, options.ways, shared, rounds=options.rounds)


if __name__ == "__main__":
    if not measure.serve(WAYS):
        main()
