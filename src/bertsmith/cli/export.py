"""``bertsmith export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from bertsmith.cli import show
from bertsmith.cli.flags import parse, with_flags
from bertsmith.cli.reading import columns_of, flags_of_others, reading_flags, reading_of, task_of_model
from bertsmith.errors import ExportError
from bertsmith.exports import FORMS, LEAST_AGREEMENT, MOST_DRIFT

if TYPE_CHECKING:
    from rich.table import Table

    from bertsmith.exporting import Exported


def run(arguments: list[str]) -> None:
    """Write a model for another runtime."""
    task = task_of_model(arguments)
    command = with_flags(export, reading_flags(task, labels=True, options=False))
    parse(command, "export", arguments, elsewhere=lambda: flags_of_others(task, labels=True, at_use=True))


def export(
    model: Annotated[Path, Parameter(help="the folder of a trained model")],
    /,
    *,
    to: Annotated[Literal["onnx", "openvino"], Parameter(help="the runtime: onnx or openvino", show_choices=False)],
    int8: Annotated[
        bool, Parameter(help="compute products in whole numbers of 8 bits", negative=(), show_default=False)
    ] = False,
    dev: Annotated[
        Path | None, Parameter(help="rows with labels to compare answers on; left out, those that training scored")
    ] = None,
    calibrate: Annotated[
        Path | None,
        Parameter(help="rows that set the ranges of OpenVINO's 8 bits; left out, those trained on, without dev's"),
    ] = None,
    least_agreement: Annotated[float, Parameter(help="the least share of equal answers")] = LEAST_AGREEMENT,
    most_drift: Annotated[float, Parameter(help="the most by which the main score may be off")] = MOST_DRIFT,
    overwrite: Annotated[
        bool, Parameter(help="replace a form that is there already", negative=(), show_default=False)
    ] = False,
    json: Annotated[
        bool, Parameter(help="print the comparison as one JSON object", negative=(), show_default=False)
    ] = False,
    quiet: Annotated[bool, Parameter(help="no progress, warnings alone", negative=(), show_default=False)] = False,
    **flags: Any,
) -> None:
    """Write a trained model into its folder in the form of another runtime, if it answers as the model does.

    The answers are compared on rows with labels; beyond the bounds the export is refused, and nothing is left behind.
    predict, evaluate and bertsmith.load take it from then on, without torch.
    """
    from bertsmith.exporting import export as export_model

    reads_files = any(name not in columns_of(flags) for name in flags)
    with show.Watch(quiet=quiet or json) as watch:
        try:
            found = export_model(
                model,
                to=to,
                int8=int8,
                dev=dev,
                calibrate=calibrate,
                columns=columns_of(flags) or None,
                reading=reading_of(flags) if reads_files else None,
                least_agreement=least_agreement,
                most_drift=most_drift,
                overwrite=overwrite,
                listen=watch.listen,
            )
        except ExportError as error:
            if json and error.compared is not None:
                show.print_json({"accepted": False, **error.compared})
            raise
    if json:
        show.print_json({"accepted": True, **found.record()})
    else:
        show.stdout().print(_table(found, least_agreement, most_drift))


def _table(found: Exported, least_agreement: float, most_drift: float) -> Table:
    from rich.table import Table

    from bertsmith.tasks.regress import SAME_NUMBER

    table = Table(title=f"{show.escape(str(found.folder))}: exported form {found.form}", title_justify="left")
    table.add_column("measure")
    table.add_column("value", justify="right")
    table.add_column("bound", justify="right")
    near = f", within {SAME_NUMBER:.0%} of the range" if found.agreement_of == "numbers" else ""
    table.add_row(f"agreement of {found.agreement_of}{near}", show.number(found.agreement), f"≥ {least_agreement:g}")
    table.add_row(f"{show.escape(found.main)} of the model", show.number(found.score_before), "")
    table.add_row(f"{show.escape(found.main)} of the export", show.number(found.score), "")
    table.add_row("drift", show.number(found.drift), f"≤ {most_drift:g}")
    table.add_row("largest difference of an output", show.number(found.difference), "")
    table.add_row("rows compared", f"{found.rows:,}", "")
    if FORMS[found.form].calibrated:
        table.add_row("rows calibrated on", f"{found.calibrated_on:,}", "")
    table.add_row("precision", found.precision, "")
    table.add_row("size", f"{found.bytes / 1e6:,.1f} MB", "")
    table.add_row("verdict", "[green]accepted[/]", "")
    return table
