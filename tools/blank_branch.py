"""Writes the branch that the Colab badges open: the same files, the notebooks without outputs.

A notebook that shows its outputs has answered each of its questions, and a cell in Colab cannot
clear another cell. So the course has a second branch, MAIN-blank. Nothing but this tool writes to
it. Its notebooks are those of MAIN (a branch or a tag, as Repository in pyproject.toml says).

    python tools/blank_branch.py                # in this repository
    python tools/blank_branch.py --push origin  # and there; a workflow does so at each change

Your files, your index and the branch you are on stay as they are.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from colab import ROOT, Home, Wrong, read_home

from nanogpt_lib.room.lab import as_text, without_outputs

WRITER = {
    f"GIT_{who}_{what}": word
    for who in ("AUTHOR", "COMMITTER")
    for what, word in (("NAME", "tools/blank_branch.py"), ("EMAIL", "nobody@example.org"))
}


def git(root: Path, *words: str, stdin: str | None = None, **env: str) -> str:
    """What git prints, without the last line's end. Raises Wrong with git's own words."""
    done = subprocess.run(
        ["git", "-C", str(root), *words],
        input=stdin,
        env=os.environ | env,
        capture_output=True,
        encoding="utf-8",
    )
    if done.returncode:
        raise Wrong(f"git {words[0]}: {done.stderr.strip() or 'failed'}")
    return done.stdout.strip()


def known(root: Path, *names: str) -> str | None:
    """The commit that the first of these names has which exists."""
    for name in names:
        try:
            return git(root, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
        except Wrong:
            continue
    return None


def blank_tree(root: Path, commit: str) -> str:
    """The tree of a commit, its notebooks without outputs; written to git only."""
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        git(root, "read-tree", commit, **index)
        listed = git(root, "ls-tree", "-r", "--name-only", "-z", commit, "notebooks/")
        for name in listed.split("\0"):
            if not name.endswith(".ipynb"):
                continue
            blank = without_outputs(json.loads(git(root, "show", f"{commit}:{name}")))
            blob = git(root, "hash-object", "-w", "--stdin", stdin=as_text(blank))
            git(root, "update-index", "--cacheinfo", f"100644,{blob},{name}", **index)
        return git(root, "write-tree", **index)


def write_branch(root: Path, home: Home, remote: str | None = None) -> str:
    """Writes the branch, and pushes it to a remote; returns a line that says what was done.

    A new commit follows the branch's last one, so a push never needs force.
    """
    source = known(root, f"refs/tags/{home.branch}", f"refs/heads/{home.branch}")
    if not source:
        raise Wrong(f"there is no branch or tag {home.branch} here: git fetch --tags")
    there = f"refs/remotes/{remote}/{home.blank}"
    if remote and git(root, "ls-remote", remote, f"refs/heads/{home.blank}"):
        git(root, "fetch", "--quiet", remote, f"+refs/heads/{home.blank}:{there}")
    before = known(root, *([there] if remote else []), f"refs/heads/{home.blank}")
    tree = blank_tree(root, source)
    if before and git(root, "rev-parse", f"{before}^{{tree}}") == tree:
        commit, done = before, "is up to date"
    else:
        words = f"The course at {source[:10]}, without outputs"
        parent = ("-p", before) if before else ()
        commit = git(root, "commit-tree", tree, *parent, "-m", words, **WRITER)
        done = "is written"
    git(root, "update-ref", f"refs/heads/{home.blank}", commit)
    if remote:
        git(root, "push", "--quiet", remote, f"{commit}:refs/heads/{home.blank}")
        done += f", also in {remote}"
    return f"{home.blank} {done}: {home.branch} at {source[:10]}, without outputs"


def main(words: list[str] | None = None, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--push", metavar="REMOTE", help="push the branch there, too")
    args = parser.parse_args(words)
    try:
        print(write_branch(root, read_home(root / "pyproject.toml"), args.push))
    except Wrong as wrong:
        print(wrong, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
