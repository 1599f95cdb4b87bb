"""No secret that is planted is found again: not in a log, an error, a report, a mark, a message or an output."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import door
import support
from test_conversions import broken

POLICY, SIGNATURE, KEY_PAIR = "eyJQbGFudGVkUG9saWN5IjoxfQ__", "PlantedSig-aB3~Ef9GhIjKl", "KPLANTEDPAIRID"
URL = f"https://llama3-1.llamameta.net/*?Policy={POLICY}&Signature={SIGNATURE}&Key-Pair-Id={KEY_PAIR}&Download=1"
TOKEN = "hf_PlantedTokenAbCdEfGhIjKlMnOpQrStUv"
KAGGLE_KEY = "0123456789abcdefplanted0deadbeef"
KAGGLE_TOKEN = "KGAT_plantedplantedplantedplanted00"
PLANTED = (POLICY, SIGNATURE, KEY_PAIR, TOKEN, TOKEN[3:], KAGGLE_KEY, KAGGLE_TOKEN, KAGGLE_TOKEN[5:])
LLAMA = ["-b=bkt", "-n=llama-3.1", "-m=Llama3.1-8B", "-o=gs://bkt/o"]
GEMMA = ["-b=bkt", "-m=google/gemma/maxtext/7b-it/2"]
PYTORCH = ["-s=jetstream-pytorch", "-m=meta-llama/Llama-3.1-8B", "-n=llama-3.1", "-o=gs://bkt/o"]
AS_THE_USER = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
ENDS = [[], ["--explain"], ["--dry_run"], ["--log_format=json"], ["--overwrite=True"],
        ["--explain", "--log_format=json"]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Secrets as Kubernetes mounts them."""
    place = tmp_path / "secrets"
    place.mkdir()
    (place / "kaggle.json").write_text(json.dumps({"username": "somebody", "key": KAGGLE_KEY}))
    (place / "HUGGINGFACE_TOKEN").write_text(TOKEN + "\n")
    (place / "url").write_text(URL + "\n")
    return place


@pytest.fixture
def variables(folder: Path) -> dict:
    """Every secret in every variable and file at once."""
    return {"KAGGLE_CONFIG_DIR": folder, "HUGGINGFACE_TOKEN_DIR": folder, "KAGGLE_USERNAME": "somebody",
            "KAGGLE_KEY": KAGGLE_KEY,
            "KAGGLE_API_TOKEN": KAGGLE_TOKEN, "HF_TOKEN": TOKEN, "META_URL": URL}


def assert_silent(said: door.Said, *places: Path) -> None:
    """None of the secrets in what was said, nor in any file below the places."""
    for secret in PLANTED:
        assert secret not in said.stdout, f"{secret} on standard output: {said}"
        assert secret not in said.stderr, f"{secret} on standard error: {said}"
    for place in places:
        for path in [place] if place.is_file() else place.rglob("*"):
            assert not any(secret in str(path) for secret in PLANTED), path
            if path.is_file():
                data = path.read_bytes()
                assert not any(secret.encode() in data for secret in PLANTED), path


# Lists that hold a secret; whether they fail, and how, does not matter here.
LISTS = {
    "by-flag": [*LLAMA, f"--meta_url={URL}"],
    "by-letter": [*LLAMA, f"-u={URL}"],
    "separate": [*LLAMA, "--meta_url", URL],
    "glued": [*LLAMA, f"-u{URL}"],
    "one-dash": [*LLAMA, f"-meta_url={URL}"],
    "dashes": [*LLAMA, f"--meta-url={URL}"],
    "quoted": [*LLAMA, f'--meta_url="{URL}"'],
    "quoted-whole": [*LLAMA, f'"--meta_url={URL}"'],
    "half-a-quote": [*LLAMA, f'--meta_url="{URL}'],
    "repeated": [*LLAMA, f"--meta_url={URL}", f"--meta_url={URL}2"],
    "misspelt": [*LLAMA, f"--metaurl={URL}"],
    "misspelt-separate": [*LLAMA, "--metaurl", URL],
    "misspelt-one-dash": [*LLAMA, f"-metaurl={URL}"],
    "misspelt-letter": [*LLAMA, f"-z={URL}"],
    "misspelt-glued": [*LLAMA, f"-z{URL}"],
    "no-equals": [*LLAMA, f"--meta_url{URL}"],
    "leftover": [*LLAMA, URL],
    "leftover-first": [URL, *LLAMA],
    "leftover-behind": [*LLAMA, "--", URL],
    "leftover-quoted": [*LLAMA, f"'{URL}'"],
    "leftover-assignment": [*LLAMA, f"META_URL={URL}"],
    "leftover-cut-by-a-shell": [*LLAMA, f"--meta_url=https://llama3-1.llamameta.net/*?Policy={POLICY}"],
    "not-a-url": [*LLAMA, f"--meta_url={URL.removeprefix('https://')}"],
    "where-another-flag-is-wrong": [*LLAMA, f"--meta_url={URL}", "-q=maybe"],
    "as-model": ["-b=bkt", "-n=llama-3.1", "-o=gs://bkt/o", f"-m={URL}"],
    "as-gemma": ["-b=bkt", f"-m={URL}&gemma-7b"],
    "as-input": [*LLAMA, f"-i={URL}"],
    "as-pytorch-input": [*PYTORCH, f"-i={URL}"],
    "as-output": ["-b=bkt", "-m=Llama3.1-8B", f"-o={URL}", f"--meta_url={URL}"],
    "as-bucket": [f"-b={URL}", *GEMMA[1:]],
    "as-server": [f"-s={URL}", *GEMMA],
    "as-name": [*LLAMA, f"-n={URL}"],
    "as-type": [*LLAMA, "-q=1", f"-t={URL}", f"--meta_url={URL}"],
    "as-boolean": [*LLAMA, f"-q={URL}", f"--meta_url={URL}"],
    "as-version": [*LLAMA, f"-v={URL}", f"--meta_url={URL}"],
    "as-url-file": [*LLAMA, f"--meta_url_file={URL}"],
    "token-leftover": [*PYTORCH, "-h=True", TOKEN],
    "token-assignment": [*PYTORCH, "-h=True", f"HF_TOKEN={TOKEN}"],
    "token-as-flag": [*PYTORCH, "-h=True", f"--token={TOKEN}"],
    "token-as-flag-separate": [*PYTORCH, "-h=True", "--token", TOKEN],
    "token-as-boolean": [*PYTORCH, f"-h={TOKEN}"],
    "token-as-repository": ["-s=jetstream-pytorch", f"-m=meta-llama/{TOKEN}", "-n=llama-3", "-h=True", "-o=gs://bkt/o"],
    "token-as-user": ["-s=jetstream-pytorch", f"-m=https://user:{TOKEN}@huggingface.co/meta-llama/Llama-3.1-8B",
                      "-n=llama-3", "-h=True",
                      "-o=gs://bkt/o"],
    "token-as-model": ["-b=bkt", f"-m={TOKEN}", "-n=llama-3", "-o=gs://bkt/o"],
    "token-as-handle": ["-b=bkt", f"-m=google/gemma/{TOKEN}/7b-it/2"],
    "token-as-version": [*PYTORCH, "-h=True", f"-v={TOKEN}"],
    "kaggle-token-leftover": [*GEMMA, KAGGLE_TOKEN],
    "kaggle": GEMMA,
    "hub": [*PYTORCH, "-h=True"],
    "meta": LLAMA,
}
TEXT_FLAGS = ("dtype", "mesh", "orbax_layout", "quant_layout", "rope_layout", "compression", "source_format", "family",
              "bundle_size", "io", "shard", "shards", "verify_resume",
              "memory", "threads", "log_format", "outputs", "explain", "dry_run", "overwrite", "keep_base",
              "termination_log")


@pytest.mark.parametrize("case", LISTS)
def test_a_list_with_a_secret_gives_none_away(case: str, variables: dict, root: Path, tmp_path: Path):
    log = tmp_path / "termination"
    for end in ENDS:
        said = door.run(*LISTS[case], *end, f"--termination_log={log}", root=root, env=variables)
        assert said.exit_code in (0, 64, 66, 73, 77, 78), said
        assert_silent(said, root, *([log] if log.exists() else []))


@pytest.mark.parametrize("flag", TEXT_FLAGS)
def test_a_secret_as_the_value_of_another_flag_is_not_shown(flag: str, sources: door.Sources, root: Path,
                                                            tmp_path: Path):
    for secret in (URL, TOKEN):
        words = ["-b=bkt", "-m=Llama3.1-8B", "-o=gs://bkt/o", f"-i={sources.llama31}", f"--{flag}={secret}"]
        said = door.run(*words, root=root, cwd=tmp_path)
        assert said.exit_code in (0, 64), said
        assert_silent(said, root)


@pytest.mark.parametrize("server", ["jetstream-maxtext", "jetstream-pytorch"])
@pytest.mark.parametrize("ending", ["good", "again", "refused", "broken", "killed"])
def test_a_run_with_every_secret_at_hand_leaves_none(server: str, ending: str, variables: dict, folder: Path,
                                                     sources: door.Sources,
                                                     root: Path, tmp_path: Path):
    log = tmp_path / "termination"
    source = sources.llama31
    if ending == "broken":
        source = tmp_path / "in"
        broken(source)
    words = [f"-s={server}", *LLAMA, f"-i={source}", f"--meta_url={URL}", "--meta_url", URL, TOKEN,
             f"--meta_url_file={folder / 'url'}",
             "-q=1", "-t=" + ("int8" if server == "jetstream-maxtext" else "int8_per_channel"),
             f"--termination_log={log}"]
    if ending == "killed":
        with door.started(*words, root=root, env=variables) as process:
            process.stdout.readline()
            process.kill()
            output, errors = process.communicate()
        said = door.Said(tuple(words), process.returncode, output.decode(), errors.decode())
    else:
        said = door.run(*words, root=root, env=variables, expect=65 if ending == "broken" else 0)
        if ending in ("again", "refused"):
            other = "int4w" if server == "jetstream-maxtext" else "int4_per_channel"
            more = [f"-t={other}"] if ending == "refused" else []
            said = door.run(*words, *more, root=root, env=variables, expect=73 if ending == "refused" else 0)
    assert ending == "killed" or (root / "bkt/o/.ckpt-state/report.json").exists()
    assert_silent(said, root, *([log] if log.exists() else []))


def test_the_original_lines_with_the_url_are_never_printed(root: Path):
    said = door.run(*LLAMA, f"--meta_url={URL}", root=root, expect=77)
    assert "META_URL:" not in said.stdout + said.stderr
    assert "Meta url=" not in said.stdout + said.stderr


# --- where the Meta URL may come from

@pytest.mark.parametrize("how", ["flag", "variable", "file"])
def test_the_meta_url_is_found(how: str, folder: Path, root: Path):
    words, env = {"flag": ([f"--meta_url={URL}"], {}), "variable": ([], {"META_URL": URL}),
                  "file": ([f"--meta_url_file={folder / 'url'}"], {})}[how]
    assert door.explain(*LLAMA, *words, env=env)["source"] == {"kind": "meta", "model_id": "Llama3.1-8B"}
    door.assert_refused(door.run(*LLAMA, *words, env=env, root=root), 77, "llama-downloads")


@pytest.mark.parametrize("text, mention", [
    (None, "is not there"), ("", "holds no URL"), ("META_URL\n", "holds no URL"), (SIGNATURE, "holds no URL")])
def test_a_file_without_a_url_is_refused(text: str | None, mention: str, tmp_path: Path, root: Path):
    if text is not None:
        (tmp_path / "url").write_text(text)
    said = door.run(*LLAMA, f"--meta_url_file={tmp_path / 'url'}", root=root)
    door.assert_refused(said, 78, mention)
    assert_silent(said)


@pytest.mark.parametrize("value", ["META_URL", "$META_URL", "$(META_URL)", SIGNATURE])
def test_a_variable_without_a_url_is_refused(value: str, root: Path):
    said = door.run(*LLAMA, env={"META_URL": value}, root=root)
    door.assert_refused(said, 64, "the variable META_URL", "llama-downloads")
    assert_silent(said)


# --- forms of the Kaggle and Hugging Face secrets

KAGGLE_FORMS = ("kaggle.json", "files", "variables", "token")


def kaggle_form(form: str, place: Path) -> dict:
    """The variables of a run that has its Kaggle credential in one form only."""
    place.mkdir()
    if form == "kaggle.json":
        (place / "kaggle.json").write_text(json.dumps({"username": "somebody", "key": KAGGLE_KEY}))
    elif form == "files":
        (place / "username").write_text("somebody\n")
        (place / "key").write_text(KAGGLE_KEY + "\n")
    return {"KAGGLE_CONFIG_DIR": place, **{"variables": {"KAGGLE_USERNAME": "somebody", "KAGGLE_KEY": KAGGLE_KEY},
                                           "token": {"KAGGLE_API_TOKEN": KAGGLE_TOKEN}}.get(form, {})}


@pytest.mark.parametrize("form", KAGGLE_FORMS)
def test_every_form_of_the_kaggle_secret_is_found(form: str, tmp_path: Path, root: Path):
    said = door.run(*GEMMA, env=kaggle_form(form, tmp_path / "kaggle"), root=root)
    door.assert_refused(said, 77, "Kaggle")  # it was sent, and this one is not good
    assert_silent(said)


@pytest.mark.parametrize("text", ["", "{}", "[]", "not json", '{"username": "somebody"}',
                                  '{"username": "", "key": "x"}',
                                  '{"username": 1, "key": 2}', '{"key": "' + KAGGLE_KEY])
def test_a_damaged_kaggle_json_is_refused(text: str, tmp_path: Path, root: Path):
    (tmp_path / "kaggle.json").write_text(text)
    said = door.run(*GEMMA, env={"KAGGLE_CONFIG_DIR": tmp_path}, root=root)
    door.assert_refused(said, 78, "holds no username and key")
    assert_silent(said)


@pytest.mark.parametrize("env", [{}, {"KAGGLE_USERNAME": "somebody"}, {"KAGGLE_KEY": KAGGLE_KEY},
                                 {"KAGGLE_API_TOKEN": ""}])
def test_half_a_kaggle_secret_is_none(env: dict, root: Path):
    said = door.run(*GEMMA, env=env, root=root)
    door.assert_refused(said, 78, door.NOWHERE + "/kaggle.json", "KAGGLE_USERNAME")
    assert_silent(said)


def test_the_usual_folder_is_looked_into():
    """Without a variable of the Pod, /kaggle is meant, as always."""
    done = subprocess.run([door.NAME, *GEMMA], executable=support.PROGRAM, env=door.ENDPOINTS, capture_output=True, text=True,
                          check=False)
    assert done.returncode in ((77, 78) if Path("/kaggle").exists() else (78,))
    assert Path("/kaggle").exists() or "/kaggle/kaggle.json is not there" in done.stderr


def test_a_copy_in_the_bucket_needs_no_secret(sources: door.Sources, root: Path):
    """gs://B/base/N is read instead of Kaggle; what lies here is a Llama, which the run then refuses."""
    shutil.copytree(sources.llama31, root / "bkt/base/gemma_7b-it/7b-it")
    said = door.run(*GEMMA, root=root)
    assert said.exit_code not in (77, 78), said
    assert support.contents(root / "bkt/final") == {}


# --- a secret that cannot be read

@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user reaches, with a copy of the program: a test's usual folders are closed to others."""
    place = Path(tempfile.mkdtemp(prefix="ckpt-secrets-"))
    place.chmod(0o755)
    shutil.copy(support.PROGRAM, place / "ckpt")
    (place / "ckpt").chmod(0o755)
    (place / "gs/bkt").mkdir(parents=True)
    (place / "gs/bkt").chmod(0o777)
    yield place
    shutil.rmtree(place)


def run_as_user(place: Path, words: list[str], env: dict) -> door.Said:
    """Runs the copy as a user that is not root, who does not own the secrets either where this test runs as root."""
    done = subprocess.run([door.NAME, *words], executable=place / "ckpt", capture_output=True, text=True, check=False,
                          env=door.environment(CKPT_GS_ROOT=place / "gs", **env), cwd=place, **AS_THE_USER)
    return door.Said(tuple(words), done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("name, words", [("kaggle.json", GEMMA), ("HUGGINGFACE_TOKEN", [*PYTORCH, "-h=True"]),
                                         ("url", LLAMA)])
@pytest.mark.parametrize("is_folder_closed", [False, True], ids=["file", "folder"])
def test_an_unreadable_secret_names_both_remedies(name: str, words: list[str], is_folder_closed: bool,
                                                  open_folder: Path):
    secrets = open_folder / "secret"
    secrets.mkdir()
    (secrets / name).write_text(json.dumps({"username": "somebody", "key": KAGGLE_KEY}) if name == "kaggle.json" else
                                URL if name == "url" else TOKEN)
    (secrets / name).chmod(0)
    if is_folder_closed:
        secrets.chmod(0)
    more = [f"--meta_url_file={secrets / name}"] if name == "url" else []
    env = {"KAGGLE_CONFIG_DIR": secrets, "HUGGINGFACE_TOKEN_DIR": secrets}
    said = run_as_user(open_folder, [*words, *more], env)
    secrets.chmod(0o700)
    door.assert_refused(said, 78, f"{secrets / name} cannot be read: Permission denied", "user 0", "fsGroup")
    assert_silent(said)


def test_a_readable_secret_serves_a_user_that_is_not_root(open_folder: Path):
    secrets = open_folder / "secret"
    secrets.mkdir(mode=0o755)
    secrets.chmod(0o755)
    (secrets / "kaggle.json").write_text(json.dumps({"username": "somebody", "key": KAGGLE_KEY}))
    (secrets / "kaggle.json").chmod(0o444)
    door.assert_refused(run_as_user(open_folder, GEMMA, {"KAGGLE_CONFIG_DIR": secrets}), 77, "Kaggle")
