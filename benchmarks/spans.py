"""What does it cost to find the answers in an encoder's outputs? The search for spans beside the encoder's own time.

    python benchmarks/spans.py --file dev-v1.1.json            # all its questions
    python benchmarks/spans.py --file dev-v1.1.json --questions 1000 --encoder a/folder

It prints the seconds of reading, tokenising, computing and decoding the questions of a SQuAD file, with a model whose
head is set at random (an untrained head's spans cost no less), then of scoring and of tuning the threshold of "no
answer". The share is that of decoding, scoring and tuning in the encoder's time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path
from typing import Any


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", type=Path, required=True, help="a file of questions in SQuAD's form")
    parser.add_argument("--questions", type=int, help="only so many of its first questions")
    parser.add_argument("--encoder", default="minilm", help="a folder, or minilm (packaged)")
    parser.add_argument("--max-length", type=int, default=384)
    options = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

    import numpy as np
    import torch

    from bertsmith.api import read_examples
    from bertsmith.bundle import new_model
    from bertsmith.checkpoint import load_pretrained
    from bertsmith.data import ReadOptions
    from bertsmith.infer.engine import run
    from bertsmith.tasks.answer import Answer

    seconds: dict[str, float] = {}

    def timed(name: str, work: Any) -> Any:
        began = time.perf_counter()
        result = work()
        seconds[name] = round(time.perf_counter() - began, 2)
        return result

    examples, _ = timed("read", lambda: read_examples(Answer(), options.file, {}, ReadOptions()))
    examples = examples[: options.questions]
    task = Answer(unanswerable="yes").learn(examples)
    pretrained = load_pretrained(options.encoder)
    model, _ = new_model(task, pretrained, generator=torch.Generator().manual_seed(1))
    encoded = timed("tokenise", lambda: task.encode(examples, pretrained.tokenizer, max_length=options.max_length))
    windows = [window for windows in encoded for window in windows]
    outputs = iter(timed("encoder", lambda: run(model, windows, examples)))
    per_question = [[next(outputs) for _ in windows] for windows in encoded]
    rows = zip(examples, encoded, per_question, strict=True)
    predictions = timed("decode", lambda: [task.decode(*row) for row in rows])
    timed("score", lambda: task.scorer(examples, predictions)(np.arange(len(examples))))
    timed("tune", lambda: task.calibrate(examples, predictions))
    after = seconds["decode"] + seconds["score"] + seconds["tune"]
    record = {
        "questions": len(examples), "windows": len(windows), "tokens": sum(map(len, windows)), "seconds": seconds,
        "share": round(after / seconds["encoder"], 4), "threads": torch.get_num_threads(),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}", "torch": torch.__version__,
    }  # fmt: skip
    print(json.dumps(record))


if __name__ == "__main__":
    main()
