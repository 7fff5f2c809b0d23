"""The kit guards itself: nothing of it is dropped quietly, and its page tells the truth."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from civitas.plugins import Capabilities
from civitas.testing import SerializerConformance, TransportConformance

DOCS = Path(__file__).parents[2] / "docs" / "conformance.md"
STANDARD = [*TransportConformance.standard, *SerializerConformance.standard]


def adopt(**attributes):
    return type("TestMine", (TransportConformance,), {"capabilities": Capabilities(), **attributes})


def run(tmp_path, *lines):
    """Run an adoption in a pytest of its own; return all that it said."""
    (tmp_path / "none.ini").write_text("[pytest]\n")
    (tmp_path / "test_adoption.py").write_text("\n".join(lines))
    options = ["-rA", "-p", "no:cacheprovider", "-c", "none.ini", "test_adoption.py"]
    command = [sys.executable, "-m", "pytest", *options]
    done = subprocess.run(
        command, cwd=tmp_path, check=False, capture_output=True, text=True, timeout=60
    )
    return done.stdout + done.stderr


def adoption(tmp_path, body, **attributes):
    """Run an adoption of the in-process transport with another body for its class."""
    rest = "".join(f"    {name} = {value!r}\n" for name, value in attributes.items())
    return run(
        tmp_path,
        "import pytest",
        "from civitas.plugins import Capabilities",
        "from civitas.testing import TransportConformance",
        "from civitas.transport import InProcessTransport",
        body,
        "class TestMine(TransportConformance):",
        "    capabilities = Capabilities()",
        "    patience = 0.5",
        rest,
        "    @pytest.fixture",
        "    def make_transport(self):",
        "        return Mine",
    )


# --- what an adopter may not do ------------------------------------------------------------------


def test_a_standard_test_replaced_without_a_reason_is_an_error():
    with pytest.raises(TypeError, match="replaces the standard test 'test_wait_ready_returns'"):
        adopt(test_wait_ready_returns=lambda self: None)


def test_a_standard_test_removed_without_a_reason_is_an_error():
    with pytest.raises(TypeError, match="removes the standard test 'test_wait_ready_returns'"):
        adopt(test_wait_ready_returns=None)


def test_a_standard_test_replaced_by_a_mixin_is_an_error():
    class Mixin:
        def test_wait_ready_returns(self):
            """Pass."""

    with pytest.raises(TypeError, match="replaces the standard test"):
        type("TestMine", (Mixin, TransportConformance), {"capabilities": Capabilities()})


def test_a_deviation_without_a_reason_is_an_error():
    with pytest.raises(TypeError, match="has no reason"):
        adopt(deviations={"test_wait_ready_returns": " "})


def test_a_deviation_from_an_unknown_test_is_an_error_with_a_suggestion():
    with pytest.raises(TypeError, match="did you mean 'test_wait_ready_returns'"):
        adopt(deviations={"test_wait_ready_return": "slow"})


def test_a_class_without_capabilities_is_an_error():
    with pytest.raises(TypeError, match="states no capabilities"):
        type("TestMine", (TransportConformance,), {})


def test_an_adopted_class_can_be_adopted_again_with_other_claims():
    limited = "test_a_frame_over_the_limit_is_refused"
    mine = adopt()
    larger = type("TestLarger", (mine,), {"capabilities": Capabilities(max_message_bytes=9000)})
    smaller = type("TestSmaller", (larger,), {"capabilities": Capabilities()})
    assert [limited in each.expected() for each in (mine, larger, smaller)] == [False, True, False]


# --- what is no pass -----------------------------------------------------------------------------

NEVER_READY = """
class Mine(InProcessTransport):
    async def wait_ready(self):
        raise OSError("not ready")
"""

WITHOUT_UNSUBSCRIBE = """
class Mine(InProcessTransport):
    unsubscribe = None
"""


@pytest.mark.slow
def test_a_deviation_is_reported_and_no_pass(tmp_path):
    told = adoption(
        tmp_path,
        NEVER_READY,
        deviations={"test_wait_ready_returns": "there is no wait"},
    )
    assert "XFAIL test_adoption.py::TestMine::test_wait_ready_returns" in told
    assert "1 deviation" in told
    assert "deviation test_wait_ready_returns: there is no wait" in told


@pytest.mark.slow
def test_a_deviation_that_is_not_needed_fails(tmp_path):
    told = adoption(
        tmp_path,
        "Mine = InProcessTransport",
        deviations={"test_wait_ready_returns": "there is no wait"},
    )
    assert "FAILED test_adoption.py::TestMine::test_wait_ready_returns" in told
    assert "38 of 39 passed, 1 failed" in told


@pytest.mark.slow
def test_a_test_removed_with_a_reason_is_a_deviation(tmp_path):
    told = adoption(
        tmp_path,
        "Mine = InProcessTransport",
        deviations={"test_wait_ready_returns": "it would hang the machine"},
        test_wait_ready_returns=None,
    )
    assert "38 of 39 passed, 1 deviation" in told


@pytest.mark.slow
def test_what_is_not_offered_is_skipped_and_no_pass(tmp_path):
    told = adoption(tmp_path, WITHOUT_UNSUBSCRIBE)
    assert "38 of 39 passed, 1 skipped" in told


# --- what the page says --------------------------------------------------------------------------


@pytest.mark.slow
def test_the_page_s_adoption_passes_every_test_of_the_kit(tmp_path):
    block = re.search(r"```python\n(import pytest\n.*?)```", DOCS.read_text(), re.DOTALL)
    assert block is not None
    assert sum(bool(line.strip()) for line in block[1].splitlines()) <= 12
    told = run(tmp_path, block[1])
    for name in TransportConformance.standard:
        passed = f"PASSED test_adoption.py::TestMine::{name}" in told
        assert passed or f"not in the list {name}" in told
    assert "39 of 39 passed" in told


def test_the_page_lists_the_behaviours_of_the_kit():
    assert re.findall(r"^- `(test_\w+)`", DOCS.read_text(), re.MULTILINE) == STANDARD


@pytest.mark.parametrize("name", STANDARD)
def test_each_test_says_what_is_promised_and_what_to_look_for(name):
    test = {**TransportConformance.standard, **SerializerConformance.standard}[name]
    promise, _, causes = (test.__doc__ or "").partition("If this fails:")
    assert promise.strip()
    assert causes.strip()


# --- what the plugin costs others ----------------------------------------------------------------


def test_the_plugin_imports_nothing_of_the_kit():
    code = "import sys, civitas.testing.plugin; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = {name for name in done.stdout.split() if name.startswith("civitas.testing")}
    assert loaded == {"civitas.testing", "civitas.testing.plugin"}


@pytest.mark.slow
def test_a_run_without_the_kit_says_nothing_of_it(tmp_path):
    told = run(tmp_path, "def test_something():", "    pass")
    assert "1 passed" in told
    assert "conformance" not in told
