"""Google's own authentication library gets its tokens from the stub, in every way that the converter knows."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.auth import exceptions, identity_pool
from google.auth.transport.requests import Request
from google.oauth2 import credentials, service_account
from started import Stub, started

EMAIL = "robot@project.iam.gserviceaccount.com"
SCOPES = ["https://www.googleapis.com/auth/devstorage.read_write"]


@pytest.fixture(scope="module")
def oauth(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stub]:
    folder = tmp_path_factory.mktemp("key")
    for name in ("private", "other"):
        subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", folder / f"{name}.pem"],
                       check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", folder / "private.pem", "-pubout", "-out", folder / "public.pem"], check=True)
    with started("oauth", "--service-account", f"{EMAIL}={folder / 'public.pem'}", "--key-id", "kid1", "--email", EMAIL,
                 "--refresh-token", "refresh", "--subject-token", "subject", "--late", "1") as stub:
        stub.folder = folder
        yield stub


def key(stub: Stub, name: str) -> service_account.Credentials:
    info = {"type": "service_account", "client_email": EMAIL, "private_key_id": "kid1", "token_uri": f"{stub.url}/token",
            "private_key": (stub.folder / f"{name}.pem").read_text()}
    return service_account.Credentials.from_service_account_info(info, scopes=SCOPES)


def is_issued(stub: Stub, token: str) -> bool:
    return f'"{token}"' in stub.control("GET", "issued").decode()


def test_service_account(oauth: Stub):
    good = key(oauth, "private")
    good.refresh(Request())
    assert is_issued(oauth, good.token)
    with pytest.raises(exceptions.RefreshError, match="Invalid JWT Signature"):
        key(oauth, "other").refresh(Request())


def test_refresh_token(oauth: Stub):
    def user(token: str) -> credentials.Credentials:
        return credentials.Credentials(None, refresh_token=token, token_uri=f"{oauth.url}/token", client_id="client",
                                       client_secret="client-secret")
    good = user("refresh")
    good.refresh(Request())
    assert is_issued(oauth, good.token)
    with pytest.raises(exceptions.RefreshError, match="invalid_grant"):
        user("revoked").refresh(Request())


def test_external_account_with_impersonation(oauth: Stub, tmp_path: Path):
    (tmp_path / "subject").write_text("subject")
    external = identity_pool.Credentials(
        audience="//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
        subject_token_type="urn:ietf:params:oauth:token-type:jwt", token_url=f"{oauth.url}/v1/token",
        credential_source={"file": str(tmp_path / "subject")}, scopes=SCOPES,
        service_account_impersonation_url=f"{oauth.url}/v1/projects/-/serviceAccounts/{EMAIL}:generateAccessToken")
    external.refresh(Request())
    assert is_issued(oauth, external.token)


def test_metadata_server_that_is_late_at_first(oauth: Stub):
    program = ("from google.auth import compute_engine; from google.auth.transport.requests import Request\n"
               "c = compute_engine.Credentials(); c.refresh(Request()); print(c.token, c.service_account_email)")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False,
                          env={**os.environ, "GCE_METADATA_HOST": f"127.0.0.1:{oauth.port}"})
    assert done.returncode == 0, done.stderr
    token, email = done.stdout.split()
    assert is_issued(oauth, token) and email == EMAIL
