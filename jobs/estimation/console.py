"""An estimate for people."""

from rich.console import Console
from rich.table import Table

from jobs.display.numbers import count, duration, percent
from jobs.estimation.result import Advice, RunEstimate, StrategyEstimate
from records.run_folder.prediction import Prediction, Range
from scaling.statistics.accuracy import accuracy_interval


def print_estimate(found: RunEstimate, console: Console) -> None:
    """What each strategy takes, and what follows."""

    def say(text: str) -> None:
        console.print(text, soft_wrap=True, highlight=False, markup=False)

    say(
        f"{count(found.num_problems)} problems of {found.problems}, from a pilot of {found.pilot_problems}. "
        "In brackets: 90% intervals over problems; the machine is taken to be as fast as in the pilot."
    )
    for item in found.strategies:
        say("")
        say(item.strategy)
        console.print(_alike(item), highlight=False, markup=False)
        console.print(_table(item), highlight=False, markup=False)
        if item.pilot_failed:
            say(f"  {item.pilot_failed} problems of the pilot failed, the first because: {item.first_error}")
        if item.without:
            say(f"  the prediction is for a run without {' and '.join(item.without)}")
        if item.generators_per_prm is not None:
            say(f"  balanced with {_balance(item.generators_per_prm)}")
        say(f"  goes on with the pilot: {item.goes_on}")
    for line in _advice(found.advice):
        say(line)


def _alike(item: StrategyEstimate) -> Table:
    """What does not depend on the number of replicas."""
    table, first = _grid(1), item.replicas[0]
    table.add_row("  accuracy", _accuracy(item, first))
    for kind, tokens in first.tokens.items():
        if tokens.upper:
            table.add_row(f"  {kind.replace('_', ' ')} tokens", _counts(tokens))
    table.add_row("  FLOPs", _counts(first.flops))
    return table


def _table(item: StrategyEstimate) -> Table:
    table = _grid(len(item.replicas))
    table.add_row("  replicas", *(f"{one.num_generators} + {one.num_prms}" for one in item.replicas), style="bold")
    for name, texts in _by_replicas(item.replicas):
        table.add_row(f"  {name}", *texts)
    return table


def _grid(num_columns: int) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(min_width=19, no_wrap=True)
    for _ in range(num_columns):
        table.add_column(no_wrap=True)
    return table


def _by_replicas(found: tuple[Prediction, ...]) -> list[tuple[str, list[str]]]:
    rows = [
        ("time", [_durations(one.wall_seconds) for one in found]),
        ("generator time", [_durations(one.generator_seconds) for one in found]),
    ]
    if found[0].num_prms:
        rows.append(("PRM time", [_durations(one.prm_seconds) for one in found]))
    if found[0].gpu_seconds is not None:
        hours = [one.gpu_seconds for one in found if one.gpu_seconds is not None]
        rows.append(("GPU-hours", [_numbers(one, 1 / 3600) for one in hours]))
    rows.append(("USD", [_numbers(one.usd) if one.usd is not None else "unknown: no [cost]" for one in found]))
    rows.append(("kWh", [_numbers(one.kwh) if one.kwh is not None else "unknown" for one in found]))
    return rows


def _accuracy(item: StrategyEstimate, found: Prediction) -> str:
    if found.accuracy is None:
        return "unknown: nothing could be graded"
    own = accuracy_interval(item.pilot_right, item.pilot_graded)
    pilot = f"{item.pilot_right} of {item.pilot_graded} in the pilot" if own is not None else ""
    lower, upper = percent(found.accuracy.lower), percent(found.accuracy.upper)
    return f"{percent(found.accuracy.estimate)} [{lower}, {upper}]; {pilot}"


def _advice(advice: Advice) -> list[str]:
    lines = []
    unit = "dollars" if advice.by == "usd" else "FLOPs"
    if advice.accuracy is not None:
        wanted = percent(advice.accuracy)
        found = f"{advice.cheapest} (in {unit})" if advice.cheapest is not None else "none of these strategies"
        lines += ["", f"Cheapest with an accuracy of {wanted}: {found}"]
    if advice.max_usd is not None:
        lines += ["", f"For {advice.max_usd:g} USD:"]
        for one in advice.affordable:
            right = f", {count(one.right)} right answers expected" if one.right is not None else ""
            if one.total_tokens is None:
                lines.append(f"  {one.strategy}: nothing; the start-up alone costs {one.startup_usd:.3g} USD")
                continue
            lines.append(f"  {one.strategy}: {one.num_problems} problems ({percent(one.share)}){right}")
        if any(one.total_tokens is not None for one in advice.affordable):
            lines.append(f"A run stops there with --set budget.total_usd={advice.max_usd:g}")
    return lines


def _balance(generators_per_prm: float) -> str:
    if generators_per_prm >= 1:
        return f"{generators_per_prm:.1f} generators for each PRM"
    return f"{1 / generators_per_prm:.1f} PRMs for each generator"


def _counts(found: Range) -> str:
    return f"{count(found.estimate)} [{count(found.lower)}, {count(found.upper)}]"


def _durations(found: Range) -> str:
    return f"{duration(found.estimate)} [{duration(found.lower)}, {duration(found.upper)}]"


def _numbers(found: Range, scale: float = 1.0) -> str:
    return " ".join((f"{found.estimate * scale:.3g}", f"[{found.lower * scale:.3g}, {found.upper * scale:.3g}]"))
