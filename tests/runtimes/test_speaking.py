"""A language model's bundle in transformers.js: in a page of Chromium, and in Node.js."""

from __future__ import annotations

import json
import queue
import random
import shutil
import subprocess
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import onnx
import pytest
from language_models import PROMPTS, TEACHER, golden_of, write_bundle
from transformers import AutoTokenizer

from edgedistill.bundling.continuations import CONTINUATIONS
from edgedistill.exporting.onnx_saving import save_model
from edgedistill.isolation import environments
from edgedistill.runtimes import browser
from edgedistill.runtimes._browser.chromium import Chromium
from edgedistill.runtimes._browser.speaking import speaking

absent = environments.missing_beside(browser.PACKAGES)
pytestmark = pytest.mark.skipif(bool(absent), reason="; ".join(absent))


@pytest.fixture(scope="module")
def known(stories_file):
    return golden_of(stories_file)


@pytest.fixture
def bundle(stories_file, known, tmp_path):
    return write_bundle(stories_file, known, tmp_path / "bundle")


def test_a_page_says_what_the_file_says_here(bundle, known):
    with speaking(bundle, browser.node_modules()) as page:
        for continuation in known.items:
            said, text = page.follow(continuation.ids, len(continuation.said))
            assert (tuple(said), text.strip()) == (continuation.said, continuation.text.strip())


def test_a_page_finds_weights_that_are_not_in_the_file(stories_file, known, tmp_path, monkeypatch):
    shutil.copytree(stories_file.parent.parent, tmp_path / "apart")
    file = tmp_path / "apart" / "onnx" / stories_file.name
    model = onnx.load(file)
    file.unlink()
    monkeypatch.setattr("edgedistill.exporting.onnx_saving._INLINE_LIMIT", 2_000)
    save_model(model, file)
    apart = write_bundle(file, known, tmp_path / "bundle")
    with speaking(apart, browser.node_modules()) as page:
        for continuation in known.items:
            said, _ = page.follow(continuation.ids, len(continuation.said))
            assert tuple(said) == continuation.said


def test_a_page_reads_texts_as_the_tokenizer_does(bundle):
    drawn = random.Random(0)
    wild = ["".join(chr(drawn.randint(32, 0x3000)) for _ in range(20)) for _ in range(50)]
    texts = [*PROMPTS, *map(chr, range(256)), *wild]
    with speaking(bundle, browser.node_modules()) as page:
        found = page.tokens(texts, special=False)
    expected = AutoTokenizer.from_pretrained(TEACHER)(texts, add_special_tokens=False)["input_ids"]
    assert [text for text, own, other in zip(texts, found, expected, strict=True) if own != other] == []


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_the_script_agrees_in_node_and_notices_what_differs(bundle, known):
    (bundle / "node_modules").symlink_to(browser.node_modules(), target_is_directory=True)
    command = ["node", str(bundle / "examples" / "run.mjs")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "all 3 golden continuations agree: 60 of 60 tokens\n"), done.stderr
    told = subprocess.run([*command, PROMPTS[0]], capture_output=True, text=True, check=False).stdout
    assert told.startswith(known.items[0].text)
    chat = [sys.executable, "-P", str(bundle / "examples" / "run.py"), "Hi", "--chat", "--max-tokens", "24"]
    said = subprocess.run(chat, capture_output=True, text=True, check=False).stdout.strip()
    told = subprocess.run([*command, "Hi", "--chat"], capture_output=True, text=True, check=False).stdout
    assert said
    assert told.strip().startswith(said)
    content = json.loads((bundle / CONTINUATIONS).read_text())
    content["items"][1]["said"] = [5, 6]
    (bundle / CONTINUATIONS).write_text(json.dumps(content))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "golden input 1 (Lily and Tom) continues differently at token 0\n"
    content["items"][1] |= {"unsure": [0, 1]}
    content["least"] = 40
    (bundle / CONTINUATIONS).write_text(json.dumps(content))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "all 3 golden continuations agree: 40 of 42 tokens\n"), done.stderr
    (bundle / CONTINUATIONS).write_text(json.dumps(content | {"least": 41}))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "only 40 of 42 golden tokens are the most likely in their places, expected at least 41" in done.stderr
    long = subprocess.run([*command, "a dog and " * 300], capture_output=True, text=True, check=False)
    assert (long.returncode, long.stdout) == (2, "")
    assert "tokens, expected 1 to 511" in long.stderr


DRIVE = """<!doctype html><iframe src="/bundle/examples/index.html"></iframe><script type="module">
const frame = document.querySelector("iframe");
const of = (id) => frame.contentDocument?.getElementById(id);
const until = async (done) => { while (!done()) await new Promise((next) => setTimeout(next, 50)); };
const said = [];
await until(() => of("state")?.textContent === "ready");
for (const [text, chat] of [["Once upon", false], ["Hi", true], ["a dog and ".repeat(300), false]]) {
  of("text").value = text;
  of("chat").checked = chat;
  of("go").click();
  await until(() => !of("go").disabled);
  said.push([of("text").value, of("state").textContent]);
}
await fetch("/said", { method: "POST", body: JSON.stringify(said) });
</script>"""


def test_the_page_continues_answers_a_chat_and_says_what_is_too_long(bundle):
    (bundle / "node_modules").symlink_to(browser.node_modules(), target_is_directory=True)
    (bundle.parent / "drive.html").write_text(DRIVE)
    told: queue.Queue[list[list[str]]] = queue.Queue()

    class Handler(SimpleHTTPRequestHandler):
        def do_POST(self):
            told.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *words):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(bundle.parent)))
    Thread(target=server.serve_forever, daemon=True).start()
    chromium = Chromium(f"http://127.0.0.1:{server.server_port}/drive.html")
    try:
        (text, state), (chat, _), (long, refused) = told.get(timeout=300)
    finally:
        chromium.close()
        server.shutdown()
    assert text.startswith("Once upon")
    assert len(text) > 30
    assert state == "ready"
    assert chat.startswith("Hi\n\n")
    assert len(chat) > 5
    assert long == "a dog and " * 300
    assert "tokens, expected at most 511" in refused
