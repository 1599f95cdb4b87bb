"""A strict stub of Google's sources of access tokens: the metadata server of a VM, the token endpoint (service accounts, refresh
tokens), the security token service, and impersonation.

A service account's JWT is verified with its public key, by the `openssl` program. Tokens are random; those of `--tokens-file` are
appended to a file that the gcs stub reads with `--tokens`.
"""

import base64
import json
import os
import secrets
import subprocess
import tempfile
import threading
import time

from service import Answer, BodyCut, Listener, Refused, Request, Service, json_answer, options, serve, text_answer

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
SUBJECT_KINDS = ("urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:id_token",
                 "urn:ietf:params:oauth:token-type:saml2", "urn:ietf:params:aws:token-type:aws4_request")
CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"
IMPERSONATING = {CLOUD_PLATFORM, "https://www.googleapis.com/auth/iam"}  # scopes that may call generateAccessToken
PUBLIC_ENDPOINT = "https://oauth2.googleapis.com/token"  # the audience that Google's own library writes, wherever it posts
METADATA_ROOT = "/computeMetadata/v1/instance/service-accounts/"


def failed(status: int, error: str, description: str) -> Refused:
    return Refused(json_answer({"error": error, "error_description": description}, status))


def decoded(text: str) -> bytes:
    """base64url without padding, and nothing else."""
    if "=" in text or "+" in text or "/" in text:
        raise ValueError("not base64url without padding")
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def is_signed(message: bytes, signature: bytes, public_key: str) -> bool:
    """RSASSA-PKCS1-v1_5 with SHA-256."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(signature)
        file.flush()
        done = subprocess.run(["openssl", "dgst", "-sha256", "-verify", public_key, "-signature", file.name], input=message,
                              capture_output=True, check=False)
    return done.returncode == 0


class Oauth(Service):
    """All four services, on one port."""

    name = "oauth"

    def __init__(self, given):
        super().__init__()
        self.given = given
        self.keys = dict(text.split("=", 1) for text in given.service_account)
        self.refresh_tokens = set(given.refresh_token)
        self.subject_tokens = set(given.subject_token)
        self.counts: dict[str, int] = {}
        self.issued: dict[str, str] = {}  # token: who got it
        self._lock = threading.Lock()
        self._late, self._refused = given.late, given.refused

    def count(self, what: str) -> None:
        with self._lock:
            self.counts[what] = self.counts.get(what, 0) + 1

    def issue(self, whom: str) -> str:
        token = f"ya29.stub-{secrets.token_urlsafe(24)}"
        with self._lock:
            self.issued[token] = whom
            if self.given.tokens_file:
                with open(self.given.tokens_file, "a", encoding="utf-8") as file:
                    file.write(token + "\n")
        return token

    def answer(self, request: Request) -> Answer:
        path = request.path
        if path == "/" or path.startswith("/computeMetadata/"):
            return self.metadata(request)
        if request.method != "POST":
            return text_answer("Method Not Allowed", 405)
        if path == "/token":
            return self.token(request)
        if path == "/v1/token":
            return self.exchange(request)
        if path.startswith("/v1/projects/-/serviceAccounts/") and path.endswith(":generateAccessToken"):
            return self.impersonate(request, request.segments()[-1].removesuffix(":generateAccessToken"))
        return text_answer("Not Found", 404)

    # The metadata server.

    def metadata(self, request: Request) -> Answer:
        flavor = ("Metadata-Flavor", "Google")
        if request.method != "GET":
            return text_answer("Method Not Allowed", 405, flavor)
        with self._lock:
            self._refused, is_refused = max(0, self._refused - 1), self._refused > 0
            is_late = not is_refused and self._late > 0
            self._late -= is_late
        if is_refused:
            self.count("refused")
            raise BodyCut(b"")  # the connection ends, as where nothing listens yet
        if is_late:
            self.count("late")
            return text_answer("Service Unavailable", 503)
        if self.given.no_flavor:
            flavor = ("X-Other", "1")
        if request.path == "/":
            self.count("detect")
            return text_answer("computeMetadata/\n", 200, flavor, kind="application/text")
        if request.headers.get("Metadata-Flavor") != "Google":
            return text_answer("Missing required header \"Metadata-Flavor\": \"Google\"\n", 403, flavor)
        if "X-Forwarded-For" in request.headers:
            return text_answer("X-Forwarded-For is not allowed\n", 403, flavor)
        email = self.given.email
        for account in ("default", email):
            place = f"{METADATA_ROOT}{account}/"
            if request.path == place + "token":
                self.count("token")
                value = {"access_token": self.issue(email), "expires_in": self.given.expires_in, "token_type": "Bearer"}
                return json_answer(value, 200, flavor)
            if request.path == place + "email":
                return text_answer(email, 200, flavor, kind="application/text")
            if request.path == place + "scopes":
                return text_answer(CLOUD_PLATFORM + "\n", 200, flavor, kind="application/text")
            if request.path == place and request.parameters.get("recursive") == "true":
                return json_answer({"aliases": ["default"], "email": email, "scopes": [CLOUD_PLATFORM]}, 200, flavor)
        if request.path == "/computeMetadata/v1/project/project-id":
            return text_answer("stub-project", 200, flavor, kind="application/text")
        if request.path == "/computeMetadata/v1/universe/universe-domain":
            return text_answer("googleapis.com", 200, flavor, kind="application/text")
        return text_answer("Not Found", 404, flavor)

    # The token endpoint.

    def token(self, request: Request) -> Answer:
        self.must_be_form(request)
        form = request.form()
        match form.get("grant_type"):
            case grant if grant == JWT_BEARER:
                self.count("jwt")
                whom = self.service_account(form.get("assertion", ""), f"{request.base}/token")
            case "refresh_token":
                self.count("refresh")
                if (form.get("client_id"), form.get("client_secret")) != (self.given.client_id, self.given.client_secret):
                    raise failed(401, "invalid_client", "The OAuth client was not found.")
                if form.get("refresh_token") not in self.refresh_tokens:
                    raise failed(400, "invalid_grant", "Token has been expired or revoked.")
                whom = "user"
            case other:
                raise failed(400, "unsupported_grant_type", f"Invalid grant_type: {other}")
        return json_answer({"access_token": self.issue(whom), "expires_in": self.given.expires_in, "token_type": "Bearer"})

    @staticmethod
    def must_be_form(request: Request) -> None:
        kind = request.headers.get("Content-Type", "").split(";")[0].strip().lower()
        if kind != "application/x-www-form-urlencoded":
            raise failed(400, "invalid_request", f"Content-Type must be a form, not {kind}")

    def service_account(self, assertion: str, audience: str) -> str:
        """Who signed this JWT."""
        try:
            header_text, claims_text, signature_text = assertion.split(".")
            header, claims = json.loads(decoded(header_text)), json.loads(decoded(claims_text))
            signature = decoded(signature_text)
        except ValueError:
            raise failed(400, "invalid_grant", "Invalid JWT: Failed to parse.") from None
        if header.get("alg") != "RS256" or header.get("typ", "JWT") != "JWT":
            raise failed(400, "invalid_grant", "Invalid JWT: Failed audience check.")
        email = claims.get("iss")
        if email not in self.keys:
            raise failed(400, "invalid_grant", "Invalid grant: account not found")
        if self.given.key_id and header.get("kid") != self.given.key_id:
            raise failed(400, "invalid_grant", "Invalid JWT Signature.")
        if not is_signed(f"{header_text}.{claims_text}".encode(), signature, self.keys[email]):
            raise failed(400, "invalid_grant", "Invalid JWT Signature.")
        if claims.get("aud") not in (audience, PUBLIC_ENDPOINT, self.given.audience):
            raise failed(400, "invalid_grant", "Invalid JWT: Failed audience check.")
        now = time.time() + self.given.clock_ahead
        issued, expires = claims.get("iat"), claims.get("exp")
        is_number = isinstance(issued, int) and isinstance(expires, int)
        if not is_number or not now - 3900 < issued < now + 300 or not now < expires <= issued + 3600:
            raise failed(400, "invalid_grant", "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable "
                                               "timeframe. Check your iat and exp values in the JWT claim.")
        if not claims.get("scope"):
            raise failed(400, "invalid_scope", "Invalid OAuth scope or ID token audience provided.")
        return email

    # The security token service and impersonation.

    def exchange(self, request: Request) -> Answer:
        self.count("exchange")
        self.must_be_form(request)
        form = request.form()
        wanted = {"grant_type": TOKEN_EXCHANGE, "requested_token_type": ACCESS_TOKEN}
        for name, value in wanted.items():
            if form.get(name) != value:
                raise failed(400, "invalid_request", f"Invalid value for \"{name}\".")
        if form.get("subject_token_type") not in SUBJECT_KINDS:
            raise failed(400, "invalid_request", "Invalid value for \"subject_token_type\".")
        if not form.get("scope") or not form.get("audience"):
            raise failed(400, "invalid_request", "Scope and audience are required.")
        if self.given.audience and form["audience"] != self.given.audience:
            raise failed(400, "invalid_target", "The target service indicated by the \"audience\" parameters is invalid.")
        if form.get("subject_token") not in self.subject_tokens:
            raise failed(400, "invalid_grant", "The subject token is not valid.")
        scopes = form["scope"].split()
        whom = "federated, may impersonate" if IMPERSONATING & set(scopes) else "federated"
        return json_answer({"access_token": self.issue(whom), "issued_token_type": ACCESS_TOKEN, "token_type": "Bearer",
                            "expires_in": self.given.expires_in})

    def impersonate(self, request: Request, email: str) -> Answer:
        self.count("impersonate")
        source = self.issued.get(request.bearer or "")
        if source is None:
            return _api_error(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
        if source == "federated":
            return _api_error(403, "PERMISSION_DENIED", "Request had insufficient authentication scopes.")
        if email != self.given.email:
            return _api_error(403, "PERMISSION_DENIED", "Permission 'iam.serviceAccounts.getAccessToken' denied on resource "
                                                        "(or it may not exist).")
        body = request.json()
        lifetime = body.get("lifetime", "3600s")
        if not body.get("scope") or not isinstance(body["scope"], list) or not lifetime.endswith("s"):
            return _api_error(400, "INVALID_ARGUMENT", "Invalid scope or lifetime.")
        expires = time.gmtime(time.time() + min(self.given.expires_in, int(lifetime[:-1])))
        return json_answer({"accessToken": self.issue(email), "expireTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", expires)})

    def control(self, request: Request, what: str) -> Answer:
        match request.method, what:
            case "GET", "counts":
                with self._lock:
                    return json_answer(self.counts)
            case "GET", "issued":
                with self._lock:
                    return json_answer(self.issued)
            case "GET", "subject-token":  # the "url" credential source of an external account
                self.count("subject")
                return json_answer({"access_token": next(iter(self.subject_tokens), "")})
            case "PUT", "options":  # such as {"expires_in": 3600}
                for name, value in request.json().items():
                    setattr(self.given, name, value)
                return Answer(204)
        return super().control(request, what)


def _api_error(status: int, name: str, message: str) -> Answer:
    return json_answer({"error": {"code": status, "message": message, "status": name}}, status)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--email", default="stub@project.iam.gserviceaccount.com", help="the VM's, and who may be impersonated")
    parser.add_argument("--expires-in", type=int, default=3599, metavar="SECONDS")
    parser.add_argument("--late", type=int, default=0, metavar="N", help="the metadata server's first N answers are 503")
    parser.add_argument("--refused", type=int, default=0, metavar="N", help="before that, N connections end unanswered")
    parser.add_argument("--no-flavor", action="store_true", help="an impostor: its answers lack Metadata-Flavor")
    parser.add_argument("--service-account", action="append", default=[], metavar="EMAIL=PUBLIC_KEY_PEM_FILE")
    parser.add_argument("--key-id", default="", help="the kid that a JWT must name")
    parser.add_argument("--audience", default="", help="of JWTs, beside this server's own /token; and of token exchanges")
    parser.add_argument("--clock-ahead", type=float, default=0, metavar="SECONDS", help="how far this server's clock is ahead")
    parser.add_argument("--client-id", default="client")
    parser.add_argument("--client-secret", default="client-secret")
    parser.add_argument("--refresh-token", action="append", default=[])
    parser.add_argument("--subject-token", action="append", default=[])
    parser.add_argument("--tokens-file", help="tokens are appended to it as they are issued")
    given = parser.parse_args()
    if given.tokens_file:
        open(given.tokens_file, "a", encoding="utf-8").close()
        os.chmod(given.tokens_file, 0o600)
    serve(Listener(Oauth(given), given.port), given.tls)


if __name__ == "__main__":
    main()
