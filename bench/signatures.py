"""What checking the signature of a request costs: crates/oss/examples/oss_figures.rs, in a release build.

verification   reading and verifying a request of six signed headers or parameters, with the day's key derived each time,
               and with one that is kept, as the server keeps it
"""

import re
import subprocess

from harness import ROOT, TARGET, run


def rows(_args, _only):
    run(["cargo", "build", "--release", "--quiet", "--manifest-path", str(ROOT / "Cargo.toml"), "-p", "millpond-oss",
         "--example", "oss_figures"])  # fmt: skip
    said = subprocess.run([str(TARGET / "release/examples/oss_figures")], check=True, capture_output=True, text=True).stdout
    figures = {what.strip(): float(value) for what, value in re.findall(r"^(.+?)\s+([\d.]+) µs$", said, re.M)}
    found = []
    for form in ("V4 header", "V4 URL"):
        fresh = figures[f"{form}: read and verified"]
        kept = figures[f"{form}: with a key that was derived before"]
        found.append((f"Verification of a request, {form}", f"{fresh:.1f} µs, {kept:.1f} µs with the key kept", "below 20 µs"))
    return found
