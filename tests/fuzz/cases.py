"""How many cases are tried, what counts as a hang, and what every one of them must come to.

`make fuzz` tries RIPU_FUZZ_CASES of each kind, the tests a sample. A case ends with a right result, or with one line of
ours; whatever else is raised fails the test, and so does a minute of the processor's time.
"""

import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from ripu_ray.errors import RipuError

_T = TypeVar("_T")
CASES = int(os.environ.get("RIPU_FUZZ_CASES", "12"))
_LIMIT_S = 60.0

fuzzed = settings(
    max_examples=CASES,
    deadline=None,
    database=None,
    print_blob=True,
    # A case is small as it is; to shrink it can take minutes.
    phases=[Phase.explicit, Phase.generate],
    # The same cases each time in the tests; new ones in `make fuzz`.
    derandomize="RIPU_FUZZ_CASES" not in os.environ,
    suppress_health_check=list(HealthCheck),
)


def attempt(call: Callable[[], _T], names: str = "") -> _T | None:
    """The result, or None where one line was said that names `names`."""

    def hang(signum: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"{_LIMIT_S} s of computing")

    # Time of the processor, not of the clock: other work on the machine cannot make a test fail.
    before = signal.signal(signal.SIGVTALRM, hang)
    signal.setitimer(signal.ITIMER_VIRTUAL, _LIMIT_S)
    try:
        return call()
    except RipuError as error:
        text = str(error)
        assert len(text.splitlines()) == 1, text
        assert text.isprintable(), text
        assert names in text, text
        return None
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@st.composite
def harms(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """Something that happens to the bytes of a file: flips, a cut, a hole, a repetition, other bytes."""
    kind = draw(st.sampled_from(["flip", "cut", "hole", "repeat", "insert", "other"]))
    places = draw(st.lists(st.floats(0, 1), min_size=1, max_size=8))
    junk = draw(st.binary(min_size=1, max_size=64))

    def harm(content: bytes) -> bytes:
        altered = bytearray(content)
        at = [int(place * max(len(content) - 1, 0)) for place in places]
        if kind == "flip" and content:
            for place, byte in zip(at, junk * 8, strict=False):
                altered[place] ^= byte or 1
        elif kind == "cut":
            del altered[at[0] :]
        elif kind == "hole":
            altered[at[0] : at[0] + len(junk)] = bytes(len(junk))
        elif kind == "repeat":
            altered[at[0] : at[0]] = altered[at[0] : at[-1]]
        elif kind == "insert":
            altered[at[0] : at[0]] = junk
        else:
            altered = bytearray(junk)
        return bytes(altered)

    return harm


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(10**40), 10**40),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["2.2", "40px", "1e999", "../..", "\0", "\udcff", "https://u:p@h/x", "a\nb", "٣", "${HOME}", "~"]),
)
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
