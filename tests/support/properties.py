"""Property tests: each run tries the same cases, and nothing is kept between runs."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

settings.register_profile(
    "convdepth",
    derandomize=True,
    deadline=None,
    database=None,
    # Each case writes its own file into the folder that the cases of a test share.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
settings.load_profile("convdepth")


def cases(number: int) -> settings:
    """Return the settings of a test that tries some number of cases."""
    return settings(max_examples=number)


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """Draw a content that is cut short, or has up to three other bytes."""
    if draw(st.booleans()):
        return content[: draw(st.integers(0, len(content) - 1))]
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 3))):
        changed[draw(st.integers(0, len(content) - 1))] ^= draw(st.integers(1, 255))
    return bytes(changed)
