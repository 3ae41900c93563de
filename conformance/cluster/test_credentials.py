"""Keys of the store that a machine has by its role: nobody writes them down, and they change while the server runs.

The service that gives them out exists on the machines of a cloud only, so its three requests are answered here, as the Instance
Metadata Service (version 2) of EC2 describes them. The store is a real one, which checks every signature.
"""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from engines import S3_KEY, S3_SECRET, Rclone
from millpond_test.server import Server, wait_for

TOKEN, ROLE = "5e55104", "recorder"
#: Credentials are asked for anew when less than five minutes of their time are left.
LASTS_S = 302


class Metadata:
    """The service. `keys` is the pair that it gives out next."""

    def __init__(self):
        outer = self
        self.keys, self.given = (S3_KEY, S3_SECRET), []

        class Handler(BaseHTTPRequestHandler):
            def say(self, text: str, status: int = 200) -> None:
                body = text.encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_PUT(self):
                self.say(TOKEN, 200 if self.path == "/latest/api/token" else 404)

            def do_GET(self):
                folder = "/latest/meta-data/iam/security-credentials/"
                if self.headers.get("X-aws-ec2-metadata-token") != TOKEN:
                    self.say("", 401)
                elif self.path == folder:
                    self.say(ROLE)
                elif self.path == folder + ROLE:
                    outer.given.append(outer.keys[0])
                    ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + LASTS_S))
                    key, secret = outer.keys
                    self.say(json.dumps({"Code": "Success", "AccessKeyId": key, "SecretAccessKey": secret, "Token": "t0ken", "Expiration": ends}))
                else:
                    self.say("", 404)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def metadata():
    service = Metadata()
    yield service
    service.server.shutdown()


def test_a_server_works_with_the_role_of_its_machine(tmp_path, metadata):
    second = ("SECONDKEY", "second-secret")
    store = Rclone(tmp_path / "rclone", more_keys=[second]).start()
    try:
        store.make_bucket()
        given = {"MILLPOND_BLOBS": store.url, "AWS_METADATA_ENDPOINT": metadata.url, "MILLPOND_SECRETS_KEY": "5a" * 32}
        server = Server(tmp_path / "one", environment=given).start()
        try:
            bucket = server.new_bucket()
            bucket.put_object("first", b"a" * 100_000)
            assert metadata.given and set(metadata.given) == {S3_KEY}
            metadata.keys = second
            wait_for(lambda: second[0] in metadata.given or not bucket.put_object("again", b"b" * 100_000), "new keys are asked for", 20)
            bucket.put_object("second", b"c" * 100_000)
            assert bucket.get_object("first").read() + bucket.get_object("second").read() == b"a" * 100_000 + b"c" * 100_000
            assert server.admin("/readyz").text == "ready\n"
            assert second[1] not in server.log() and S3_SECRET not in server.log()
        finally:
            server.kill()
        # The service may be away for a while as well, which is said.
        metadata.server.shutdown()
        metadata.server.server_close()
        other = Server(tmp_path / "two", environment=given).start()
        try:
            ready = lambda: other.admin("/readyz").text  # noqa: E731
            wait_for(lambda: ready().startswith("degraded: the S3-compatible store does not answer"), ready, 30)
            print(ready())
        finally:
            other.kill()
    finally:
        store.kill()
