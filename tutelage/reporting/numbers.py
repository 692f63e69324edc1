"""Numbers as people read them: as many digits as the interval deserves, one way of writing each.

A typographic minus, "−", and "–" for what was not measured.
"""

from __future__ import annotations

import math

from tutelage.statistics import Estimate

NOT_MEASURED = "–"
_MOST_DECIMALS = 4
_SMALL = 1e-3               # below it a power of ten: of a learning rate, four decimals show nothing


def format_number(value: float | int | None, decimals: int | None = None, percent: bool = False) -> str:
    """`value` with `decimals` places (three significant digits where None); a share of 1 becomes per cent, a small number
    its digits and its power of ten.
    """
    if value is None or not math.isfinite(value):
        return NOT_MEASURED
    scaled = value * 100 if percent else value
    if decimals is None and not percent and 0 < abs(scaled) < _SMALL:
        digits, _, power = f"{scaled:.2e}".partition("e")
        return f"{digits}e{int(power)}".replace("-", "−")
    if decimals is None:
        whole = isinstance(value, int) and not percent
        decimals = 0 if whole or scaled == 0 else _clamp(2 - math.floor(math.log10(abs(scaled))))
    text = f"{scaled:,.{decimals}f}"
    if text.startswith("-"):
        text = "−" + text[1:] if float(text.replace(",", "")) != 0 else text[1:]      # no minus nought
    return text + ("%" if percent else "")


def interval_decimals(estimate: Estimate, reference: float | None = None, percent: bool = False) -> int:
    """Places that show one significant digit of the interval's half-width, and more where rounding would put a
    bound on the reference that it does not touch: 0.004 beside a verdict "better" must not read 0.00."""
    scale = 100 if percent else 1
    half_width = scale * (estimate.high - estimate.low) / 2
    if math.isfinite(half_width) and half_width > 0:
        places = _clamp(-math.floor(math.log10(half_width)))
    else:
        places = 0 if percent else 2
    if reference is not None:
        for bound in (estimate.low, estimate.high):
            while (places < _MOST_DECIMALS and math.isfinite(bound) and bound != reference
                   and round(scale * bound, places) == round(scale * reference, places)):
                places += 1
    return places


def format_interval(estimate: Estimate, decimals: int, percent: bool = False) -> str:
    """"[low, high]", or a dash where no interval can be given."""
    if not (math.isfinite(estimate.low) and math.isfinite(estimate.high)):
        return NOT_MEASURED
    low, high = (format_number(bound, decimals, percent).rstrip("%") for bound in (estimate.low, estimate.high))
    return f"[{low},\u00a0{high}]"      # never broken over two lines


def format_estimate(estimate: Estimate, reference: float | None = None, percent: bool = False) -> tuple[str, str]:
    """The value and its interval, in as many places as they deserve."""
    decimals = interval_decimals(estimate, reference, percent)
    return format_number(estimate.value, decimals, percent), format_interval(estimate, decimals, percent)


def _clamp(decimals: int) -> int:
    return max(0, min(_MOST_DECIMALS, decimals))
