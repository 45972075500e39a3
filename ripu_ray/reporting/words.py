"""Numbers as text for reports and consoles."""

import numpy as np


def size(num_bytes: int) -> str:
    """A size with its unit: "17 MB", "1.2 GB"; at least "1 MB"."""
    megabytes = num_bytes / 1e6
    if megabytes < 1000:
        return f"{max(megabytes, 1):.0f} MB"
    return f"{megabytes / 1000:.1f} GB" if megabytes < 1e6 else f"{megabytes / 1e6:.1f} TB"


def percent(share: float) -> str:
    """A share in [0, 1] in per cent, with one decimal."""
    return f"{100 * share:.1f} %"


def significant(value: float) -> str:
    """A number with two significant digits and without an exponent: "0.022", "2.2", "100"."""
    return np.format_float_positional(float(f"{value:.2g}"), trim="-")


def points(difference: float) -> str:
    """A difference of two shares in percentage points, with one decimal."""
    return f"{100 * difference:.1f} points"


def signed(difference: float) -> str:
    """As `points`, with a sign."""
    return f"{100 * difference:+.1f} points"


def span(low: float, high: float, style: str = ".1f") -> str:
    """An interval of shares in percentage points; a dash for NaN."""
    return "–" if np.isnan(low) else f"{100 * low:{style}} to {100 * high:{style}}"


def spread(mean: float, deviation: float, style: str = ".1f") -> str:
    """Mean and standard deviation of shares, in per cent, without the latter if it is NaN; empty without a mean."""
    if np.isnan(mean):
        return ""
    return f"{100 * mean:{style}}" + ("" if np.isnan(deviation) else f" ± {100 * deviation:{style}}")


def probability(value: float) -> str:
    """A p-value; a dash for NaN."""
    if np.isnan(value):
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def listed(words: list[str]) -> str:
    """Words as a list in a sentence: "a, b and c"."""
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))
