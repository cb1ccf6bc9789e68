"""`--push`: the Hub's own client sends the folder; a stand-in here hears what it says."""

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from nanogpt_lib.runs import hub

pytestmark = pytest.mark.slow

NAME = "alice/my-gpt"


class StandIn(BaseHTTPRequestHandler):
    """The few addresses of the Hub that an upload needs; everything else is not found."""

    def answer(self):
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.heard.append((self.command, self.path, headers, body))
        found = self.reply(body)
        status = self.server.status if self.path.startswith("/api/repos/create") else 200
        data = json.dumps(found if found is not None else {"error": "not here"}).encode()
        self.send_response(404 if found is None else status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def reply(self, body) -> dict | None:
        home = f"http://127.0.0.1:{self.server.server_port}"
        if self.path == "/api/repos/create":
            return {"url": f"{home}/{NAME}", "name": NAME, "id": NAME}
        if self.path == "/api/validate-yaml":
            return {"errors": [], "warnings": []}
        if self.path == f"/api/models/{NAME}/preupload/main":
            files = json.loads(body)["files"]
            modes = {True: "lfs", False: "regular"}
            return {
                "files": [
                    {
                        "path": file["path"],
                        "uploadMode": modes[file["path"].endswith(".safetensors")],
                        "shouldIgnore": False,
                    }
                    for file in files
                ]
            }
        if self.path == f"/{NAME}.git/info/lfs/objects/batch":
            objects = json.loads(body)["objects"]
            for each in objects:
                each["actions"] = {"upload": {"href": f"{home}/upload/{each['oid']}"}}
            return {"transfer": "basic", "objects": objects}
        if self.path == f"/api/models/{NAME}/commit/main":
            return {"commitUrl": f"{home}/{NAME}/commit/{'a' * 40}", "commitOid": "a" * 40}
        return {} if self.path.startswith("/upload/") else None

    do_GET = do_POST = do_PUT = answer

    def log_message(self, *words):
        pass


@pytest.fixture
def stand_in():
    server = ThreadingHTTPServer(("127.0.0.1", 0), StandIn)
    server.heard, server.status = [], 200
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def at_the_stand_in(stand_in, tmp_path):
    """The environment of a user whose Hub is the stand-in."""
    return {
        "HF_ENDPOINT": f"http://127.0.0.1:{stand_in.server_port}",
        "HF_HOME": str(tmp_path / "hf"),
        "HF_TOKEN": "hf_of_the_test",
        "HF_HUB_DISABLE_XET": "1",  # its way to send large files needs the real Hub
        "HF_HUB_OFFLINE": "0",
        "NO_PROXY": "*",
    }


def test_the_whole_folder_arrives_in_one_commit_of_a_private_repository(
    nanogpt, stand_in, at_the_stand_in, tmp_path
):
    done = nanogpt("export", "pocket", "--to", "mine", "--push", NAME, env=at_the_stand_in)
    assert f"On the Hub, private if it is new: {at_the_stand_in['HF_ENDPOINT']}" in done.stdout
    heard = {path: (headers, body) for _, path, headers, body in stand_in.heard}
    _, made = heard["/api/repos/create"]
    assert json.loads(made)["visibility"] == "private"
    headers, commit = heard[f"/api/models/{NAME}/commit/main"]
    assert headers["authorization"] == "Bearer hf_of_the_test"
    lines = [json.loads(line) for line in commit.splitlines()]
    sent = {line["value"]["path"] for line in lines if line["key"] in ("file", "lfsFile")}
    assert sent == {path.name for path in (tmp_path / "mine").iterdir()}
    (uploaded,) = [body for path, (_, body) in heard.items() if path.startswith("/upload/")]
    assert uploaded == (tmp_path / "mine" / "model.safetensors").read_bytes()


@pytest.mark.parametrize("status", [401, 403])
def test_who_may_not_write_is_told_to_log_in(nanogpt, stand_in, at_the_stand_in, tmp_path, status):
    stand_in.status = status
    command = ("export", "pocket", "--to", "mine", "--push", NAME)
    done = nanogpt(*command, env=at_the_stand_in, check=False)
    assert done.returncode == 2
    assert f"the Hub refuses {NAME} (HTTP {status}): log in first" in done.stderr
    assert f"hf upload {NAME} mine" in done.stderr
    assert (tmp_path / "mine" / "model.safetensors").exists()


def test_a_hub_that_is_not_there_is_said_so(nanogpt, at_the_stand_in, stand_in):
    stand_in.shutdown()
    stand_in.server_close()
    command = ("export", "pocket", "--to", "mine", "--push", NAME)
    done = nanogpt(*command, env=at_the_stand_in, check=False)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "the Hub cannot be reached" in done.stderr


@pytest.mark.parametrize("name", ["alice", "a/b/c", "/x", "alice/", "../x", "al ice/x", "é/x", ""])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(ValueError, match="push must be USER/NAME"):
        hub.check_name(name)


def test_a_wrong_name_is_told_before_anything_is_written(nanogpt, tmp_path):
    done = nanogpt("export", "pocket", "--to", "mine", "--push", "alice", check=False)
    assert done.returncode == 2 and "--push must be USER/NAME" in done.stderr
    assert not (tmp_path / "mine").exists()


def test_without_the_package_the_way_out_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ValueError, match="pip install huggingface_hub"):
        hub.check_name(NAME)


def test_a_page_is_not_pushed(nanogpt, tmp_path):
    done = nanogpt("export", "pocket", "--to", "mine.html", "--push", NAME, check=False)
    assert "--push is for a folder" in done.stderr
    assert not os.listdir(tmp_path)
