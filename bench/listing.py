"""What a page of a list costs in buckets of a thousand and of a million keys, side by side.

listing  the figures of the store's example `listing_figures`: average of 50 pages each, from SQLite on the disk of the build,
         in a bucket whose keys are one run, and in one with a thousand folders.
"""

import subprocess

from harness import ROOT, say


def rows(args, _only):
    command = ["cargo", "run", "--release", "--quiet", "--locked", "--manifest-path", str(ROOT / "Cargo.toml")]
    command += ["--package", "millpond-store", "--example", "listing_figures", "--", str(args.scratch)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)
    say(done.stdout)
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in done.stdout.splitlines() if line.startswith("| ")]
    return [
        (f"List: {what}", f"{small} in a bucket of 1,000; {large} in one of 1,000,000", "about the same")
        for what, small, large in table[1:]
    ]
