"""The kit guards itself: nothing of it is dropped quietly, and its page tells the truth."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from civitas.plugins import Capabilities
from civitas.testing import (
    InstrumentConformance,
    SerializerConformance,
    TransportConformance,
)
from civitas.testing.network import Network
from civitas.transport import InProcessTransport
from support.commands import printed_by

TESTS = Path(__file__).parents[1]
DOCS = TESTS.parent / "docs" / "conformance.md"
KITS = (TransportConformance, SerializerConformance, InstrumentConformance)
STANDARD = [name for kit in KITS for name in kit.standard]


def adopt(**attributes):
    return type("TestMine", (TransportConformance,), {"capabilities": Capabilities(), **attributes})


def run(tmp_path, *lines, options=(), status=None):
    """Run an adoption in a pytest of its own; return all that it said."""
    (tmp_path / "none.ini").write_text("[pytest]\n")
    (tmp_path / "test_adoption.py").write_text("\n".join(lines))
    every = ["-rA", "-p", "no:cacheprovider", "-c", "none.ini", *options, "test_adoption.py"]
    command = [sys.executable, "-m", "pytest", *every]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    told = done.stdout + done.stderr
    assert status in (None, done.returncode), told
    return told


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


LISTED = len(adopt().expected())
SERIALIZER = [name for name in SerializerConformance.standard if "hostile" not in name]


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


@pytest.mark.mutants
def test_a_deviation_is_reported_and_no_pass(tmp_path):
    told = adoption(
        tmp_path,
        NEVER_READY,
        deviations={"test_wait_ready_returns": "there is no wait"},
    )
    assert "XFAIL test_adoption.py::TestMine::test_wait_ready_returns" in told
    assert "1 deviation" in told
    assert "deviation test_wait_ready_returns: there is no wait" in told


@pytest.mark.mutants
def test_a_deviation_that_is_not_needed_fails(tmp_path):
    told = adoption(
        tmp_path,
        "Mine = InProcessTransport",
        deviations={"test_wait_ready_returns": "there is no wait"},
    )
    assert "FAILED test_adoption.py::TestMine::test_wait_ready_returns" in told
    assert f"{LISTED - 1} of {LISTED} passed, 1 failed" in told


@pytest.mark.mutants
def test_a_test_removed_with_a_reason_is_a_deviation(tmp_path):
    told = adoption(
        tmp_path,
        "Mine = InProcessTransport",
        deviations={"test_wait_ready_returns": "it would hang the machine"},
        test_wait_ready_returns=None,
    )
    assert f"{LISTED - 1} of {LISTED} passed, 1 deviation" in told


@pytest.mark.mutants
def test_what_is_not_offered_is_skipped_and_no_pass(tmp_path):
    told = adoption(tmp_path, WITHOUT_UNSUBSCRIBE)
    assert f"{LISTED - 2} of {LISTED} passed, 2 skipped" in told


# --- what is claimed, and what is not -------------------------------------------------------------


def test_a_claim_that_needs_a_fixture_fails_without_it():
    claims = Capabilities(survives_broker_restart=True)
    mine = adopt(capabilities=claims)
    with pytest.raises(pytest.fail.Exception, match="has no fixture `broker` to prove it") as told:
        mine().test_after_a_broker_restart_frames_arrive()
    assert "kill() and start()" in str(told.value)


def test_a_test_for_two_claims_is_in_the_list_of_who_makes_both():
    name = "test_what_was_published_survives_the_broker"
    both = Capabilities(survives_broker_restart=True, at_least_once=True)
    assert name in adopt(capabilities=both).expected()
    for one in ("survives_broker_restart", "at_least_once"):
        assert name not in adopt(capabilities=Capabilities(**{one: True})).expected()


def test_what_is_not_in_the_list_has_its_reason():
    left_out = adopt().left_out()
    assert left_out["test_another_process_answers"] == "cross_process is not claimed"
    assert left_out["test_after_a_cut_link_frames_arrive"] == "there is no fixture `link`"
    assert left_out.keys() | set(adopt().expected()) == TransportConformance.standard.keys()


def test_a_claim_that_is_proved_elsewhere_is_left_out_with_its_reason():
    claims = Capabilities(cross_process=True)
    mine = adopt(capabilities=claims, elsewhere={"cross_process": "TestOther has a broker"})
    reason = "cross_process is proved elsewhere: TestOther has a broker"
    assert mine.left_out()["test_another_process_answers"] == reason
    with pytest.raises(TypeError, match="elsewhere names 'at_least_once', which this class does"):
        adopt(elsewhere={"at_least_once": "by another class"})


def test_a_transport_that_claims_something_else_than_its_class_is_told():
    network = Network(InProcessTransport, Capabilities(cross_process=True), 1.0)
    with pytest.raises(AssertionError, match="the test class states .* the transport "):
        network.make()


def test_a_transport_that_needs_a_context_is_told_how_to_get_one():
    network = Network(lambda: InProcessTransport(None), Capabilities(), 1.0)
    with pytest.raises(AssertionError, match="write `return lambda context"):
        network.needed_notes(network.make())


@pytest.mark.mutants
def test_a_disclaimed_capability_that_works_is_reported(tmp_path):
    told = run(tmp_path, MODEST, options=["--conformance-report=report.json"], status=0)
    assert "disclaimed but works: at_least_once" in told
    assert "XPASS test_adoption.py::TestModest::test_a_failed_frame_is_given_again" in told
    [suite] = json.loads((tmp_path / "report.json").read_text())["suites"]
    assert suite["disclaimed_but_works"] == ["at_least_once"]
    assert suite["conforms"] is True
    assert "at_least_once" not in suite["proved"]


MODEST = """
import pytest
from civitas.plugins import Capabilities
from civitas.testing import TransportConformance
from support.ledger import Ledger, LedgerTransport

class Modest(LedgerTransport):
    capabilities = Capabilities()

class TestModest(TransportConformance):
    capabilities = Capabilities()

    @pytest.fixture
    def make_transport(self):
        ledger = Ledger()
        return lambda: Modest(ledger)
"""


# --- the report -----------------------------------------------------------------------------------

REPORTED = """
import pytest
from civitas.plugins import Capabilities
from civitas.testing import (
    InstrumentConformance,
    SerializerConformance,
    TransportConformance,
)
from civitas.transport import InProcessTransport
from civitas.serializer import JsonSerializer

CLAIMS = Capabilities(max_message_bytes=100, cross_machine=True)

class Mine(InProcessTransport):
    capabilities = CLAIMS

class TestMine(TransportConformance):
    capabilities = CLAIMS
    plugin = "in_process"
    variant = "small: true"
    deviations = {"test_a_frame_over_the_limit_is_refused": "it takes any size"}

    @pytest.fixture
    def make_transport(self):
        return Mine

class TestMySerializer(SerializerConformance):
    @pytest.fixture
    def make_serializer(self):
        return JsonSerializer
"""


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """The report of one run as text, written by one process, and by two of pytest-xdist."""
    folder = tmp_path_factory.mktemp("reports")
    for name, processes in (("one", "0"), ("two", "2")):
        options = [f"--conformance-report={name}.json", "-n", processes]
        told = run(folder, REPORTED, options=options, status=0)
        assert "TestMySerializer states no `plugin`" in told
        assert "TestMine states" not in told
    return [(folder / f"{name}.json").read_text() for name in ("one", "two")]


@pytest.mark.mutants
def test_the_report_says_what_was_tested_and_what_that_proves(reports):
    report = json.loads(reports[0])
    assert (report["format"], report["core"]) == (1, version("civitas-core"))
    mine, serializer = report["suites"]
    told = {key: mine[key] for key in ("class", "kind", "level", "plugin", "variant")}
    assert told == {
        "class": "TestMine",
        "kind": "transport",
        "level": "transport conformance 1.0",
        "plugin": "in_process",
        "variant": "small: true",
    }
    assert (mine["distribution"], mine["version"]) == ("civitas-core", version("civitas-core"))
    assert mine["claims"] == {"cross_machine": True, "max_message_bytes": 100}
    assert (mine["conforms"], mine["proved"], mine["on_trust"]) == (False, [], ["cross_machine"])
    assert mine["not_passed"] == {"test_a_frame_over_the_limit_is_refused": "deviation"}
    assert "test_a_frame_arrives_once" in mine["passed"]
    assert mine["not_in_the_list"]["test_another_process_answers"] == "cross_process is not claimed"
    assert (serializer["conforms"], serializer["distribution"]) == (True, None)
    assert serializer["passed"] == SERIALIZER
    assert serializer["not_in_the_list"] == {
        "test_hostile_bytes_are_refused": "there is no fixture `hostile`"
    }


@pytest.mark.mutants
def test_tests_that_run_in_several_processes_give_the_same_report(reports):
    assert reports[0] == reports[1]


@pytest.mark.mutants
def test_a_report_of_nothing_is_an_error(tmp_path):
    options = ["--conformance-report=report.json"]
    told = run(tmp_path, "def test_something():", "    pass", options=options, status=4)
    assert "no test of the conformance kit ran" in told
    assert not (tmp_path / "report.json").exists()


@pytest.mark.mutants
def test_a_report_that_can_not_be_written_fails_the_run(tmp_path):
    options = ["--conformance-report=no/such/folder/report.json", "-k", "TestMySerializer"]
    told = run(tmp_path, REPORTED, options=options, status=4)
    assert f"{len(SERIALIZER)} of {len(SERIALIZER)} passed" in told
    assert "nothing was written: [Errno 2] No such file" in told


# --- what the page says --------------------------------------------------------------------------


@pytest.mark.mutants
def test_the_page_s_adoption_passes_every_test_of_the_kit(tmp_path):
    block = re.search(r"```python\n(import pytest\n.*?)```", DOCS.read_text(), re.DOTALL)
    assert block is not None
    assert sum(bool(line.strip()) for line in block[1].splitlines()) <= 12
    told = run(tmp_path, block[1])
    passed = {
        name
        for name in TransportConformance.standard
        if f"PASSED test_adoption.py::TestMine::{name}" in told
    }
    assert passed == set(adopt().expected())
    assert f"{LISTED} of {LISTED} passed" in told


def test_the_page_lists_the_behaviours_of_the_kit():
    assert re.findall(r"^- `(test_\w+)`", DOCS.read_text(), re.MULTILINE) == STANDARD


@pytest.mark.parametrize(("kit", "name"), [(kit, name) for kit in KITS for name in kit.standard])
def test_each_test_says_what_is_promised_and_what_to_look_for(kit, name):
    test = kit.standard[name]
    promise, _, causes = (test.__doc__ or "").partition("If this fails:")
    assert promise.strip()
    assert causes.strip()


# --- what the plugin costs others ----------------------------------------------------------------


def test_the_plugin_imports_nothing_of_the_kit():
    code = "import sys, civitas.testing.plugin; print(*sys.modules)"
    loaded = {name for name in printed_by(code).split() if name.startswith("civitas.testing")}
    assert loaded == {"civitas.testing", "civitas.testing.plugin"}


@pytest.mark.mutants
def test_a_run_without_the_kit_says_nothing_of_it(tmp_path):
    told = run(tmp_path, "def test_something():", "    pass")
    assert "1 passed" in told
    assert "conformance" not in told
