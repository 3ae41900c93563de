#!/usr/bin/env python3
"""Resolves every citation of the behaviour documents: "LiveChannel 3.9", "HTTP API 8", "OSS auth 5.2", "access control 6",
"SDK quirk 7", D26 and Q33, in code, tests and documents. Standard library only.

    scripts/check_references.py            what leads nowhere, and what nothing cites; fails for the former
    scripts/check_references.py Q33        where a number is defined and cited
    scripts/check_references.py --tests    writes the tests of each quirk into its row, after tests were renamed

A number is defined once: by a heading (`### 3.9 ...`) or by the first cell of a table row (`| D26 | ...`). Tests are
citations too: `q33_...` and `test_q33_...` belong to Q33, `d9_...` to D9."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BEHAVIOUR = "docs/behaviour"
# How each document is cited.
DOCUMENTS = {
    "LiveChannel": f"{BEHAVIOUR}/live-channel.md",
    "HTTP API": f"{BEHAVIOUR}/http-api.md",
    "OSS auth": f"{BEHAVIOUR}/authentication.md",
    "access control": f"{BEHAVIOUR}/access-control.md",
}
# Lists whose rows have numbers of their own.
LISTS = {"D": "docs/decisions.md", "Q": f"{BEHAVIOUR}/encoders.md"}
SDK_QUIRKS = 17  # the section of HTTP API whose rows are the quirks of single SDKs

SUFFIXES = {".rs", ".py", ".js", ".mjs", ".ts", ".md", ".toml", ".sh", ".yml", ".html", ".css", ""}
# Here citations are examples.
EXAMPLES = ("scripts/check_references.py", "conformance/python/tests/test_documents.py")
SKIPPED = ("fuzz/corpus/", "conformance/data/", "crates/server/assets/")

# Between two words of a citation a comment may be wrapped: white space, and the marks that begin its next line.
GAP = r"[\s/!#*|]+"
NUMBER = r"\d+(?:\.\d+)*"
# ", 6", " and 12", "-6", " to 0.4" after the first number, unless what follows is a quantity.
MORE = rf"(?:(?:,{GAP}(?:and{GAP})?|{GAP}and{GAP}|{GAP}or{GAP}|{GAP}to{GAP}|-)(?:§)?{NUMBER}(?![\w%]|\.\d)(?!{GAP}(?:MiB|KiB|s|ms|bytes|hex)\b))*"
NAMES = {
    "LiveChannel": "LiveChannel",
    "HTTP API": rf"HTTP{GAP}API",
    "OSS auth": rf"OSS{GAP}auth",
    "access control": rf"[Aa]ccess{GAP}control",
}
CITATIONS = {name: re.compile(rf"(?<![\w-]){pattern}{GAP}(?:§)?({NUMBER}(?![\w%]){MORE})") for name, pattern in NAMES.items()}
# "LiveChannel Q1", "auth 5" without its document: a number of a list that is not here.
FOREIGN = re.compile(rf"(?:{'|'.join(NAMES.values())}){GAP}Q\d+|(?P<bare>\bauth §?\d[\d.]*)")
OWN_SECTION = re.compile(rf"§({NUMBER})")
LISTED = re.compile(r"(?<![\w/.`-])([DQ])([1-9]\d?)(?![\w%])")
TESTED = re.compile(r"\b(?:fn|def) (?:test_)?([dq])(\d\d?)_")
SDK_QUIRK = re.compile(r"\bsdk[ _]quirk[ _]0?(\d\d?)", re.IGNORECASE)


@dataclass
class Report:
    """What was found. `defined` and `cited` map "LiveChannel 3.9", "D26" and so on to `file:line`s."""

    defined: dict = field(default_factory=dict)
    cited: dict = field(default_factory=lambda: defaultdict(list))
    tested: dict = field(default_factory=lambda: defaultdict(list))
    faults: list = field(default_factory=list)

    def define(self, number: str, place: str) -> None:
        if number in self.defined:
            self.faults.append(f"{place}: {number} is defined twice, also at {self.defined[number]}")
        self.defined[number] = place

    def unresolved(self) -> list:
        return [f"{place}: {number} is not defined" for number, places in sorted(self.cited.items())
                if number not in self.defined for place in places]  # fmt: skip

    def uncited(self, letter: str) -> list:
        """Rows of a list that no code and no test cites."""
        rows = [number for number in self.defined if re.fullmatch(rf"{letter}\d+", number)]
        return [row for row in rows if not any(".md:" not in place for place in self.cited[row] + self.tested[row])]


def sources() -> list:
    """The files of the repository that may cite, new ones included."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    chosen = [name for name in names if Path(name).suffix in SUFFIXES and not name.startswith(SKIPPED)]
    return [name for name in chosen if name not in EXAMPLES and (ROOT / name).is_file()]


def without_code(text: str) -> str:
    """A Markdown text with its fenced blocks blanked, line numbers kept."""
    return re.sub(r"^( *)```.*?^\1```", lambda match: "\n" * match.group(0).count("\n"), text, flags=re.MULTILINE | re.DOTALL)


def line_of(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1


def read_definitions(report: Report) -> None:
    for name, path in DOCUMENTS.items():
        text = without_code((ROOT / path).read_text())
        for match in re.finditer(rf"^(?:#+ ({NUMBER}) |\| ({NUMBER}\.\d+) \|)", text, flags=re.MULTILINE):
            report.define(f"{name} {match[1] or match[2]}", f"{path}:{line_of(text, match.start())}")
    for letter, path in LISTS.items():
        text = (ROOT / path).read_text()
        for match in re.finditer(rf"^\| ({letter}\d+) \|", text, flags=re.MULTILINE):
            report.define(match[1], f"{path}:{line_of(text, match.start())}")


def read_citations(report: Report, path: str, text: str) -> None:
    def cite(number: str, offset: int) -> None:
        report.cited[number].append(f"{path}:{line_of(text, offset)}")

    for name, pattern in CITATIONS.items():
        for match in pattern.finditer(text):
            for number in re.findall(NUMBER, match[1]):
                cite(f"{name} {number}", match.start())
    for match in FOREIGN.finditer(text):
        if match["bare"] and re.search(rf"OSS{GAP}$", text[: match.start()]):
            continue
        shown = " ".join(match[0].split())
        report.faults.append(f"{path}:{line_of(text, match.start())}: '{shown}' names no list that exists")
    own = {path: name for name, path in DOCUMENTS.items()}.get(path)
    if own:
        for match in OWN_SECTION.finditer(text):
            cite(f"{own} {match[1]}", match.start())
    for match in LISTED.finditer(text):
        # The row itself is no citation.
        if not text.startswith("| ", max(0, match.start() - 2)) or path not in LISTS.values():
            cite(match[1] + match[2], match.start())
    for match in TESTED.finditer(text):
        report.tested[match[1].upper() + match[2].lstrip("0")].append(f"{path}:{line_of(text, match.start())}")
    for match in SDK_QUIRK.finditer(text):
        cite(f"HTTP API {SDK_QUIRKS}.{int(match[1])}", match.start())


def read_tests(report: Report) -> None:
    """Every quirk has a test, and the tests that its row names exist."""
    functions = set()
    for path in sources():
        if path.endswith((".rs", ".py")):
            functions.update(re.findall(r"\b(?:fn|def) (\w+)", (ROOT / path).read_text()))
    path = LISTS["Q"]
    for match in re.finditer(r"^\| (Q\d+) \|.*\| (.*?) \|$", (ROOT / path).read_text(), flags=re.MULTILINE):
        report.faults += [f"{path}: {match[1]} names the test {name}, which does not exist"
                          for name in re.findall(r"`(\w+)`", match[2]) if name not in functions]  # fmt: skip
        if not report.tested[match[1]]:
            report.faults.append(f"{path}: no test is named after {match[1]}")


def write_tests() -> None:
    """Names three tests of each quirk in its row, and how many more there are."""
    named = defaultdict(set)
    for path in sources():
        if path.endswith((".rs", ".py")):
            for name, letter, number in re.findall(r"\b(?:fn|def) ((?:test_)?(q)(\d\d?)_\w+)", (ROOT / path).read_text()):
                named[letter.upper() + number.lstrip("0")].add(name)

    def row(match: re.Match) -> str:
        tests = sorted(named[match[2]])
        more = f" and {len(tests) - 3} more" if len(tests) > 3 else ""
        return match[1] + ", ".join(f"`{name}`" for name in tests[:3]) + more + " |"

    path = ROOT / LISTS["Q"]
    path.write_text(re.sub(r"^(\| (Q\d+) \|.*\| ).*? \|$", row, path.read_text(), flags=re.MULTILINE))


def examine() -> Report:
    report = Report()
    read_definitions(report)
    for path in sources():
        try:
            text = (ROOT / path).read_text()
        except UnicodeDecodeError:
            continue
        read_citations(report, path, without_code(text) if path.endswith(".md") else text)
    read_tests(report)
    return report


def main(arguments: list) -> int:
    if arguments == ["--tests"]:
        write_tests()
        return 0
    report = examine()
    if arguments:
        number = " ".join(arguments)
        print(f"{number}: defined at {report.defined.get(number, 'no place')}")
        for place in report.cited[number] + report.tested[number]:
            print(f"  {place}")
        return 0
    faults = report.faults + report.unresolved()
    for fault in faults:
        print(fault)
    resolved = sum(len(places) for number, places in report.cited.items() if number in report.defined)
    print(f"{resolved} citations of {len(report.cited)} numbers resolved, {len(faults)} faults; {len(report.defined)} numbers defined")
    for letter in LISTS:
        print(f"{letter} rows that no code and no test cites: {', '.join(report.uncited(letter)) or 'none'}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
