"""The documents say what is there: citations, links, paths, settings, metrics, commands; their shell blocks run."""

import re
import stat
import subprocess
import sys

import pytest

from millpond_test.server import ACCESS_KEY_ID, ACCESS_KEY_SECRET, BINARY, ROOT

sys.path.insert(0, str(ROOT / "scripts"))
import check_dependencies  # noqa: E402
import check_documents  # noqa: E402
import check_references  # noqa: E402

# `millpond` of the blocks: the real binary, which knows where the server of the test is. `MPND…` is the user's newest key.
WRAPPER = """#!/usr/bin/env python3
import json, os, subprocess, sys
where = {{"channel": ["--endpoint", "http://{http}"], "sign": ["--host", "{http}"]}}
words = sys.argv[1:]
extra = where.get(words[0], ["--admin", "http://{admin}"])
if "MPND…" in words:
    listed = subprocess.run(["{binary}", "key", "list", words[2], "--json", *extra], check=True, capture_output=True, text=True)
    words[words.index("MPND…")] = json.loads(listed.stdout)["keys"][-1]["access_key_id"]
os.execv("{binary}", ["{binary}", *words, *extra])
"""


def test_every_citation_leads_to_a_section_a_decision_or_a_quirk():
    report = check_references.examine()
    assert report.faults + report.unresolved() == []
    assert sum(map(len, report.cited.values())) > 1000, "the search finds nothing any more"


def test_documents_fit_the_program():
    assert check_documents.examine(str(BINARY)) == []


def test_the_crates_that_do_no_io_are_built_with_nothing_that_does():
    assert check_dependencies.examine() == []
    # The search goes through dependencies of dependencies: the store does write files.
    assert "rustix" in check_dependencies.closure(check_dependencies.metadata(), "millpond-store")


def test_the_search_for_citations_sees_them():
    """Wrapped comments, lists and tests count; a number of another list is a fault."""
    report = check_references.Report()
    text = "/// as in LiveChannel\n/// 3.8 and 9.9, OSS auth 3.6, 4 (D26)\nfn q17_a_habit() {}\n// sdk quirk 07, LiveChannel Q1\n"
    check_references.read_citations(report, "some.rs", text)
    assert set(report.cited) == {"LiveChannel 3.8", "LiveChannel 9.9", "OSS auth 3.6", "OSS auth 4", "D26", "HTTP API 17.7", "Q1"}
    assert report.tested["Q17"] == ["some.rs:3"]
    assert len(report.faults) == 1 and "LiveChannel Q1" in report.faults[0]


@pytest.mark.parametrize("document", sorted({document for document, _ in check_documents.runnable_blocks()}))
def test_shell_blocks_run(document, fresh_server, tmp_path):
    running = fresh_server()
    wrapper = tmp_path / "bin" / "millpond"
    wrapper.parent.mkdir()
    wrapper.write_text(WRAPPER.format(http=running.http_address, admin=running.admin_address, binary=BINARY))
    wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)
    # The documents that a block names are the first that its page shows.
    policy = re.search(r"^```json\n(.*?)^```", (ROOT / document).read_text(), flags=re.MULTILINE | re.DOTALL)
    for name in ("viewer.json", "narrower.json"):
        (tmp_path / name).write_text(policy[1] if policy else "{}")
    environment = {
        "PATH": f"{wrapper.parent}:/usr/bin:/bin", "OSS_ACCESS_KEY_ID": ACCESS_KEY_ID, "OSS_ACCESS_KEY_SECRET": ACCESS_KEY_SECRET,
    }  # fmt: skip
    for name, body in check_documents.runnable_blocks():
        if name == document:
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", body], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
            )
            assert done.returncode == 0, f"{body}\n{done.stdout}{done.stderr}"
            assert done.stdout
