"""The alert rules, by Prometheus' own tool."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
RULES = ROOT / "examples" / "deploy" / "alerts.yml"
TESTS = Path(__file__).parent / "alerts_test.yml"


def test_each_alert_fires_when_it_should() -> None:
    for arguments in (["check", "rules", str(RULES)], ["test", "rules", str(TESTS)]):
        done = subprocess.run(["promtool", *arguments], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_no_alert_goes_untested_or_unmentioned() -> None:
    alerts = set(re.findall(r"- alert: (\w+)", RULES.read_text()))
    tested = TESTS.read_text()
    fires = {alert for alert in alerts if re.search(rf"alertname: {alert}\n\s+exp_alerts:\n", tested)}
    assert fires == alerts
    page = (ROOT / "docs" / "metrics.md").read_text()
    assert set(re.findall(r"`([A-Z]\w+)`", page)) == alerts
