"""Pushing a run: what goes, in one commit, to a stand-in of the hub's HTTP API."""

import base64
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading

import pytest
import yaml
from huggingface_hub import DatasetCard, ModelCard

from tests.helpers import ROOT, assert_one_line, results_of
from trainers.commands import push
from trainers.folders.run_folder import RunFolder
from trainers.runs.publishing import published_files

REPO = "me/location"


class Hub(http.server.BaseHTTPRequestHandler):
    """Takes repositories and commits of small files, as huggingface.co does."""

    asked: list

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.asked.append((self.path, self.headers.get("Authorization"), body))
        place = f"http://{self.headers['Host']}/{REPO}"
        answer = {"url": place}
        if self.path.endswith("/preupload/main"):
            files = json.loads(body)["files"]
            answer = {"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]}
        if self.path.endswith("/commit/main"):
            answer = {"commitOid": "abc", "commitUrl": f"{place}/commit/abc", "pullRequestUrl": None}
        self.reply(200 if self.headers.get("Authorization") == "Bearer good" else 401, answer)

    def do_GET(self):
        self.asked.append((self.path, self.headers.get("Authorization"), b""))
        self.reply(404, {})

    def reply(self, status, answer):
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


@pytest.fixture
def hub():
    handler = type("OneHub", (Hub,), {"asked": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", handler.asked
    server.shutdown()
    server.server_close()


def pushed(run, address, token, *more):
    environment = {**os.environ, "HF_ENDPOINT": address, "HF_TOKEN": token}
    command = [sys.executable, "-m", "trainers", "push", str(run), REPO, *more]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT)


def sent(asked):
    """Name -> bytes of the one commit."""
    (body,) = [body for path, _, body in asked if path.endswith(f"/models/{REPO}/commit/main")]
    lines = [json.loads(line) for line in body.splitlines()]
    return {v["path"]: base64.b64decode(v["content"]) for v in (line["value"] for line in lines[1:])}


def test_a_run_goes_in_one_commit_without_checkpoints_and_places_of_this_machine(finished_run, hub):
    address, asked = hub
    done = pushed(finished_run, address, "good")
    assert done.returncode == 0 and f"pushed: {address}/{REPO}/commit/abc" in done.stdout, done.stderr
    files = sent(asked)
    assert files.keys() == {path.name for path in published_files(RunFolder(finished_run))}
    assert {"model.safetensors", "config.json", "tokenizer.json", "README.md", "results.json", "summary.png"} <= set(
        files
    )
    assert not any("checkpoint" in name for name in files) and not {"run.json", "settings.json"} & files.keys()
    assert all(content == (finished_run / name).read_bytes() for name, content in files.items() if name != "README.md")
    (created,) = [json.loads(body) for path, _, body in asked if path.endswith("/repos/create")]
    assert created["name"] == "location" and created["visibility"] == "private"


def test_a_dry_run_lists_the_files_and_sends_nothing(finished_run, hub):
    address, asked = hub
    done = pushed(finished_run, address, "good", "--dry_run")
    assert done.returncode == 0 and not asked
    assert all(path.name in done.stdout for path in published_files(RunFolder(finished_run)))


def test_a_hub_that_refuses_is_one_line(finished_run, hub):
    done = pushed(finished_run, hub[0], "bad")
    assert done.returncode == 2
    assert_one_line(done.stderr.replace("\r", ""), "--repo", REPO, "HF_TOKEN")


def test_the_cards_have_the_metadata_that_the_hub_reads(finished_run):
    card = ModelCard.load(finished_run / "README.md")
    results = results_of(finished_run)
    assert card.data.license == "cc-by-4.0" and card.data.library_name == "transformers"
    found = {f"final_{r.dataset_split}_{r.metric_type}": r.metric_value for r in card.data.eval_results}
    assert found == {n: v for n, v in results.items() if n in found} and "final_memorisation_haversine_km_mean" in found
    assert not any("baseline" in name or "elapsed" in name for name in found)
    assert {r.dataset_name for r in card.data.eval_results} == {RunFolder(finished_run).dataset.name}
    dataset = DatasetCard.load(RunFolder(finished_run).dataset / "README.md")
    assert dataset.data.license == "cc-by-4.0" and dataset.data.pretty_name == "location"


def test_a_licence_is_given_where_none_is_known(finished_run, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    text = (run / "README.md").read_text()
    (run / "README.md").write_text(text.replace("license: cc-by-4.0\n", ""))
    assert push.main([str(run), REPO, "--dry_run"]) == 2
    assert_one_line(capsys.readouterr().err, "--license")
    assert push.main([str(run), REPO, "--dry_run", "--license", "mit"]) == 0
    assert "licence mit" in capsys.readouterr().out
    assert yaml.safe_load((run / "README.md").read_text().split("---")[1]).get("license") is None  # nothing is changed


@pytest.mark.parametrize("repo", ["", "a b", "me/too/deep", "../up"])
def test_a_name_that_is_none_is_refused(finished_run, repo, capsys):
    assert push.main([str(finished_run), "--repo", repo]) == 2
    assert_one_line(capsys.readouterr().err, "--repo")


def test_an_unfinished_run_is_refused(finished_run, tmp_path, capsys):
    shutil.copytree(finished_run, tmp_path / "run")
    (tmp_path / "run" / "results.json").unlink()
    assert push.main([str(tmp_path / "run"), REPO, "--dry_run"]) == 2
    assert_one_line(capsys.readouterr().err, "results.json")
