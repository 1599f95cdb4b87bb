"""Every way to a token: right requests get one that the gcs stub accepts, wrong ones the service's own error."""

import base64
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from conftest import Client, Seen
from started import Stub, started

EMAIL = "robot@project.iam.gserviceaccount.com"
TOKEN = "/computeMetadata/v1/instance/service-accounts/default/token"
FLAVOR = {"Metadata-Flavor": "Google"}


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("key")
    subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", folder / "private.pem"],
                   check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", folder / "private.pem", "-pubout", "-out", folder / "public.pem"], check=True)
    return folder


@pytest.fixture
def oauth(key: Path, tmp_path: Path) -> Iterator[Stub]:
    with started("oauth", "--service-account", f"{EMAIL}={key / 'public.pem'}", "--refresh-token", "refresh", "--subject-token",
                 "subject", "--email", EMAIL, "--tokens-file", tmp_path / "tokens", "--expires-in", "300") as stub:
        yield stub


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def assertion(key: Path, audience: str, **changed) -> str:
    now = int(time.time())
    claims = {"iss": EMAIL, "scope": "https://www.googleapis.com/auth/devstorage.read_write", "aud": audience, "iat": now,
              "exp": now + 3600, **changed}
    text = encoded(b'{"alg":"RS256","typ":"JWT"}') + "." + encoded(json.dumps(claims).encode())
    signed = subprocess.run(["openssl", "dgst", "-sha256", "-sign", key / "private.pem"], input=text.encode(), check=True,
                            capture_output=True).stdout
    return f"{text}.{encoded(signed)}"


def post(stub: Stub, path: str, **form: str) -> Seen:
    return Client(stub.port)("POST", path, urlencode(form), Content_Type="application/x-www-form-urlencoded")


def jwt(stub: Stub, text: str) -> Seen:
    return post(stub, "/token", grant_type="urn:ietf:params:oauth:grant-type:jwt-bearer", assertion=text)


def test_service_account(oauth: Stub, key: Path, tmp_path: Path):
    told = json.loads(jwt(oauth, assertion(key, f"{oauth.url}/token")).body)
    assert (told["expires_in"], told["token_type"]) == (300, "Bearer")
    with started("gcs", "--bucket", "b", "--tokens", tmp_path / "tokens") as gcs:
        assert Client(gcs.port)("GET", "/storage/v1/b/b/o", Authorization=f"Bearer {told['access_token']}").status == 200
    assert json.loads(oauth.control("GET", "counts")) == {"jwt": 1}


@pytest.mark.parametrize(("changed", "says"), [
    ({"iss": "other@x"}, "account not found"), ({"aud": "https://example.com"}, "audience"), ({"iat": 1}, "iat"),
    ({"exp": int(time.time()) + 90000}, "iat"), ({"scope": ""}, "scope")])
def test_wrong_claims(oauth: Stub, key: Path, changed: dict, says: str):
    seen = jwt(oauth, assertion(key, f"{oauth.url}/token", **changed))
    assert seen.status == 400 and says in json.loads(seen.body)["error_description"]


def test_wrong_signature(oauth: Stub, key: Path):
    good = assertion(key, f"{oauth.url}/token")
    bad = good[:-20] + ("A" if good[-20] != "A" else "B") + good[-19:]
    for text in (bad, good + "==", "a.b", "a.b.c"):
        assert json.loads(jwt(oauth, text).body)["error"] == "invalid_grant"


def test_refresh_token(oauth: Stub):
    given = {"grant_type": "refresh_token", "client_id": "client", "client_secret": "client-secret"}
    assert post(oauth, "/token", refresh_token="refresh", **given).status == 200
    revoked = post(oauth, "/token", refresh_token="old", **given)
    assert (revoked.status, json.loads(revoked.body)["error"]) == (400, "invalid_grant")
    assert post(oauth, "/token", refresh_token="refresh", **{**given, "client_secret": "x"}).status == 401


def test_exchange_and_impersonation(oauth: Stub):
    given = {"grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "audience": "//iam.googleapis.com/pool",
             "scope": "https://www.googleapis.com/auth/cloud-platform", "subject_token": "subject",
             "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
             "subject_token_type": "urn:ietf:params:oauth:token-type:jwt"}
    token = json.loads(post(oauth, "/v1/token", **given).body)["access_token"]
    send, place = Client(oauth.port), f"/v1/projects/-/serviceAccounts/{EMAIL}:generateAccessToken"
    body = json.dumps({"scope": ["https://www.googleapis.com/auth/devstorage.read_write"], "lifetime": "3600s"})
    seen = send("POST", place, body, Authorization=f"Bearer {token}")
    assert seen.status == 200 and json.loads(seen.body)["expireTime"].endswith("Z")
    narrow = json.loads(post(oauth, "/v1/token", **{**given, "scope": "devstorage"}).body)["access_token"]
    assert send("POST", place, body, Authorization=f"Bearer {narrow}").status == 403
    assert send("POST", place, body).status == 401
    assert post(oauth, "/v1/token", **{**given, "subject_token": "wrong"}).status == 400


def test_metadata_server_wants_and_gives_its_flavor(oauth: Stub):
    connection = Client(oauth.port)
    assert connection("GET", "/").headers["Metadata-Flavor"] == "Google"
    assert connection("GET", TOKEN).status == 403
    seen = connection("GET", TOKEN, **FLAVOR)
    assert seen.headers["Metadata-Flavor"] == "Google" and json.loads(seen.body)["expires_in"] == 300
    assert connection("GET", TOKEN.replace("token", "email"), **FLAVOR).body.decode() == EMAIL


def test_metadata_server_that_is_late_or_an_impostor():
    with started("oauth", "--refused", "1", "--late", "2") as stub:
        with pytest.raises(ConnectionError):
            Client(stub.port)("GET", TOKEN, **FLAVOR)
        assert [Client(stub.port)("GET", TOKEN, **FLAVOR).status for _ in range(3)] == [503, 503, 200]
        assert json.loads(stub.control("GET", "counts")) == {"refused": 1, "late": 2, "token": 1}
    with started("oauth", "--no-flavor") as stub:
        assert Client(stub.port)("GET", TOKEN, **FLAVOR).headers["Metadata-Flavor"] is None
