"""What a tool makes of files, written where it differs, or only named: the end of each tool."""

from pathlib import Path

from nanogpt_lib.machine.files import whole_file


def update(new: dict[Path, str], root: Path, check: bool, command: str) -> int:
    """Writes the texts that differ from their files; returns the exit status.

    check: writes nothing, names what is out of date, and `command`, which would mend it.
    """
    stale = {path: text for path, text in new.items() if path.read_text(encoding="utf-8") != text}
    for path, text in stale.items():
        if not check:
            with whole_file(path) as file:
                file.write(text.encode())
        verb = f"is out of date: {command}" if check else "written"
        print(f"{path.relative_to(root).as_posix()}: {verb}")
    return 1 if check and stale else 0
