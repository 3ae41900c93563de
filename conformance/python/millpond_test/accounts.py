"""Users, keys, policies and temporary keys of a running server, over `millpond user|key|policy|sts`."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from dataclasses import dataclass
from typing import Dict, Optional

import oss2

from .server import ACCESS_KEY_ID, ACCESS_KEY_SECRET, BINARY, REGION, Server


def manage(server: Server, *arguments: str, text: str = "", environment: Optional[Dict[str, str]] = None, code: int = 0):
    """Runs a command and returns its JSON answer; its error text when `code` says that it must fail."""
    environment = {
        **os.environ,
        "OSS_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "OSS_ACCESS_KEY_SECRET": ACCESS_KEY_SECRET,
        "MILLPOND_ADMIN": f"http://{server.admin_address}",
        **(environment or {}),
    }
    done = subprocess.run(
        [str(BINARY), *arguments, "--json"], input=text, capture_output=True, text=True, timeout=30, env=environment
    )
    assert done.returncode == code, done.stdout + done.stderr
    if code:
        return done.stderr
    return json.loads(done.stdout)


@dataclass
class Key:
    id: str
    secret: str
    token: str = ""

    def auth(self, version: str = "v1"):
        if self.token:
            provider = oss2.credentials.StaticCredentialsProvider(self.id, self.secret, self.token)
            return oss2.ProviderAuthV4(provider) if version == "v4" else oss2.ProviderAuth(provider)
        return oss2.AuthV4(self.id, self.secret) if version == "v4" else oss2.Auth(self.id, self.secret)

    def bucket(self, server: Server, name: str, version: str = "v1") -> oss2.Bucket:
        return oss2.Bucket(self.auth(version), server.endpoint, name, region=REGION, connect_timeout=10)

    def environment(self) -> Dict[str, str]:
        return {"OSS_ACCESS_KEY_ID": self.id, "OSS_ACCESS_KEY_SECRET": self.secret}


@dataclass
class User:
    server: Server
    name: str
    uid: str

    def key(self) -> Key:
        made = manage(self.server, "key", "create", self.name)
        return Key(made["access_key_id"], made["access_key_secret"])

    def allow(self, policy: str, *statements: dict) -> None:
        """Attaches a policy of these statements, or the predefined one of this name."""
        if not statements:
            manage(self.server, "policy", "put", self.name, policy)
            return
        document = {"Version": "1", "Statement": list(statements)}
        manage(self.server, "policy", "put", self.name, policy, "--document", "-", text=json.dumps(document))

    def session(self, duration_s: int = 3600, policy: Optional[dict] = None) -> Key:
        arguments = ["sts", "assume", self.name, "--duration", str(duration_s)]
        if policy is not None:
            arguments += ["--policy", "-"]
        made = manage(self.server, *arguments, text=json.dumps(policy) if policy else "")
        return Key(made["access_key_id"], made["access_key_secret"], made["security_token"])


def new_user(server: Server, name: str = "") -> User:
    name = name or f"user-{uuid.uuid4().hex[:8]}"
    made = manage(server, "user", "create", name)
    assert (made["name"], made["enabled"], made["policies"]) == (name, True, [])
    assert len(made["uid"]) == 18 and made["uid"].isdigit()
    return User(server, name, made["uid"])


def statement(effect: str, action, resource, **condition) -> dict:
    made = {"Effect": effect, "Action": action, "Resource": resource}
    return {**made, "Condition": condition} if condition else made


def refusal(call, *arguments, **named) -> "tuple[int, str]":
    """Status and code with which a call of oss2 is refused."""
    try:
        call(*arguments, **named)
    except oss2.exceptions.OssError as error:
        return (error.status, error.code)
    raise AssertionError("the call was not refused")
