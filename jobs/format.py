"""Numbers for people: counts, durations, shares. Unknown is `?`, never a made-up number."""

UNKNOWN = "?"


def count(number: float | None) -> str:
    """1234567 -> "1.23M": three digits are enough to watch a run."""
    if number is None:
        return UNKNOWN
    for exponent, suffix in ((18, "E"), (15, "P"), (12, "T"), (9, "G"), (6, "M"), (3, "k")):
        scaled = number / 10**exponent
        if scaled >= 0.9995:
            return f"{scaled:.3g}{suffix}" if scaled < 999.5 else f"{scaled:.0f}{suffix}"
    return f"{number:.3g}" if number < 999.5 else f"{number:.0f}"


def duration(seconds: float | None) -> str:
    """4210.0 -> "1h10m": the two largest units. Clocks of two machines may differ, so below zero is zero."""
    if seconds is None:
        return UNKNOWN
    minutes, rest = divmod(round(max(seconds, 0.0)), 60)
    if minutes == 0:
        return f"{rest}s"
    hours, minutes = divmod(minutes, 60)
    if hours == 0:
        return f"{minutes}m{rest:02d}s"
    days, hours = divmod(hours, 24)
    return f"{days}d{hours:02d}h" if days else f"{hours}h{minutes:02d}m"


def percent(share: float | None) -> str:
    """0.4216 -> "42.2%"."""
    return UNKNOWN if share is None else f"{100 * share:.1f}%"


def ratio(part: float, whole: float | None) -> float | None:
    """`part` / `whole`; None where there is no whole."""
    return part / whole if whole else None
