"""Trials that are suites of tests: each test does one attack, or the same without a safeguard.

A test says what it met with `record_property`: `dose` and `result` of the attack, `control` of the
same attack with a safeguard taken away (which the test asserts to break something).
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from xml.etree import ElementTree

from tests.torture.trial import Row, Run


def suite(run: Run, test: str, must: str, paths: Sequence[str]) -> Row:
    """The row of all the tests at those paths: pytest's, `FILE` or `FILE::TEST`."""
    report = run.folder / "junit.xml"
    options = ["-q", "-n0", "-o", "junit_family=xunit1", f"--junitxml={report}"]
    told = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *paths], capture_output=True, text=True
    )
    (run.folder / "log.txt").write_text(told.stdout + told.stderr)
    if not report.exists():
        raise RuntimeError(f"pytest ended with {told.returncode}: {told.stdout[-300:]}")
    cases = list(ElementTree.parse(report).getroot().iter("testcase"))
    bad = [case for case in cases if {"failure", "error", "skipped"} & {part.tag for part in case}]
    controls = _told(cases, "control")
    failed = f"{len(bad)} of {len(cases)} attacks broke or skipped it: " + ", ".join(
        case.attrib["name"] for case in bad[:3]
    )
    return Row(
        test=test,
        dose=_told(cases, "dose") or f"{len(cases)} attacks",
        must=must,
        result=failed if bad else (_told(cases, "result") or f"{len(cases)} attacks, 0 broke it"),
        kept=told.returncode == 0 and not bad,
        control=controls,
    )


def _told(cases: Sequence[ElementTree.Element], name: str) -> str:
    said = [
        found.attrib["value"]
        for case in cases
        for found in case.iterfind("properties/property")
        if found.attrib["name"] == name
    ]
    return "; ".join(said)
