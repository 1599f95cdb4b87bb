"""What is in the image, and what is not."""

import json
import os
import re
import stat
import subprocess

import containers

MOST_BYTES = 50_000_000
GOAL_BYTES = 30_000_000
MOST_CONTEXT_BYTES = 20_000_000


def test_is_small(built, record_property):
    record_property("bytes", built["Size"])
    print(f"{built['Size'] / 1e6:.1f} MB; the goal is {GOAL_BYTES / 1e6:.0f}")
    assert built["Size"] <= MOST_BYTES


def test_sends_a_small_context(tmp_path):
    """Measured by an image of all that reaches the builder."""
    everything = tmp_path / "Dockerfile"
    everything.write_text("FROM scratch\nCOPY . /\n", encoding="utf-8")
    tag = "localhost/inference-checkpoint-context:latest"
    containers.build("--no-cache", containers.ROOT, "--file", everything, tag=tag)
    sent = int(containers.image("size", tag).stdout)
    assert 500_000 < sent < MOST_CONTEXT_BYTES, "the sources are in it, and little else"
    with containers.scratch("context") as folder:
        containers.image("extract", tag, folder / "root")
        top = {path.name for path in (folder / "root").iterdir()}
    assert top == {name.split("/")[0] for name in containers.context_names()}


def test_says_what_it_is(built):
    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in built["Labels"].items()}
    assert labels["title"] == "inference-checkpoint"
    assert labels["licenses"] == "Apache-2.0"
    assert labels["description"] and labels["source"]
    said = containers.run(options=["--entrypoint", "/usr/bin/ckpt"], *["--version"]).stdout
    assert labels["version"] in said, "the Dockerfile's VERSION is that of CMakeLists.txt"
    head = subprocess.run(["git", "-c", "safe.directory=*", "rev-parse", "HEAD"], cwd=containers.ROOT,
                          capture_output=True, text=True, check=False).stdout.strip()
    assert labels["revision"].removesuffix("-changed") == (head or "unknown")


def test_starts_as_the_published_jobs_expect(built):
    config = built["Config"]
    assert config["Entrypoint"] == ["/usr/bin/checkpoint_entrypoint.sh"]
    assert not config.get("Cmd")
    assert config["WorkingDir"] == "/"
    assert config.get("User", "") in ("", "0", "root"), "secret files of mode 0400 are for root"


def test_has_both_old_names(files):
    for name in ("checkpoint_entrypoint.sh", "checkpoint_converter.sh"):
        assert os.readlink(files / "usr/bin" / name) == "ckpt"
    by_entry_point = containers.run("plan", "/nothing", "--to", "null", expect=64)
    for name in ("ckpt", "checkpoint_entrypoint.sh", "checkpoint_converter.sh"):
        named = ["--entrypoint", f"/usr/bin/{name}"]
        said = containers.run("plan", "/nothing", "--to", "null", options=named, expect=64)
        assert said.stderr == by_entry_point.stderr, "a verb means the same under each name"


def programs(root):
    """Files that can be run, but for shared libraries."""
    return {str(path.relative_to(root)) for path in root.rglob("*")
            if path.is_file() and not path.is_symlink() and path.stat().st_mode & 0o111 and ".so" not in path.name}


def test_has_one_program_and_no_shell(files):
    assert programs(files) == {"usr/bin/ckpt"}
    for name in ("/bin/sh", "/bin/bash", "/usr/bin/env"):
        refused = containers.run(options=["--entrypoint", name], expect=None)
        assert refused.returncode in (126, 127), refused.stderr


def test_holds_no_file_that_others_may_write(files):
    for path in files.rglob("*"):
        mode = path.lstat().st_mode
        if not stat.S_ISLNK(mode) and path != files / "tmp":
            assert not mode & 0o022 and mode & 0o004, f"{path}: {mode:o}"
            assert not mode & (stat.S_ISUID | stat.S_ISGID), f"{path}: {mode:o}"
            assert path.stat().st_uid == 0, path


def test_program_is_stripped_and_names_no_folder_of_the_build(files):
    program = (files / "usr/bin/ckpt").read_bytes()
    sections = containers.call("readelf", "-SW", files / "usr/bin/ckpt").stdout
    assert ".text" in sections and ".symtab" not in sections and ".debug_info" not in sections
    assert b"/src/src/" not in program and str(containers.ROOT).encode() not in program


def test_has_certificates_users_and_licences(files):
    assert (files / "etc/ssl/certs/ca-certificates.crt").read_text(encoding="utf-8").count("BEGIN CERTIFICATE") > 100
    users = [line.split(":") for line in (files / "etc/passwd").read_text(encoding="utf-8").splitlines()]
    assert users[0][0] == "root" and users[0][2] == "0"
    assert len(users) == 2 and int(users[1][2]) > 0
    assert (files / "usr/share/doc/ckpt/copyright").read_bytes() == (containers.ROOT / "LICENSE").read_bytes()


def packages_with(document, relation):
    """{name: package} of those that stand in a relation to the program."""
    by_id = {package["SPDXID"]: package for package in document["packages"]}
    found = [by_id[entry["relatedSpdxElement"]] for entry in document["relationships"]
             if entry["relationshipType"] == relation and entry["spdxElementId"] == "SPDXRef-ckpt"]
    return {package["name"]: package for package in found}


def test_sbom_can_be_printed_and_names_the_program(built, files):
    assert built["Id"]
    document = json.loads(containers.image("sbom", containers.TAG).stdout)
    assert document == json.loads((files / "usr/share/sbom/ckpt.spdx.json").read_text(encoding="utf-8"))
    assert document["spdxVersion"] == "SPDX-2.3" and document["dataLicense"] == "CC0-1.0"
    assert document["SPDXID"] == "SPDXRef-DOCUMENT" and document["documentNamespace"].startswith("https://")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", document["creationInfo"]["created"])
    ids = [package["SPDXID"] for package in document["packages"]]
    assert len(ids) == len(set(ids)) and all(re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", name) for name in ids)
    related = {entry["relatedSpdxElement"] for entry in document["relationships"]}
    assert related == set(ids), "every package stands in a relation, and every relation leads to a package"
    (program,) = [package for package in document["packages"] if package["SPDXID"] == "SPDXRef-ckpt"]
    assert program["checksums"] == [{"algorithm": "SHA256", "checksumValue": containers.sha256(files / "usr/bin/ckpt")}]
    for package in document["packages"]:
        assert package["versionInfo"] and package["downloadLocation"] and package["filesAnalyzed"] is False


# The first part of a library's file name, and the Debian package that brings it; from nothing that wrote the SBOM.
PACKAGE_OF_LIBRARY = {"ld-linux-x86-64": "libc6", "ld-linux-aarch64": "libc6", "libc": "libc6", "libm": "libc6",
                      "libstdc++": "libstdc++6", "libgcc_s": "libgcc-s1", "libcrypto": "libssl3", "libssl": "libssl3",
                      "libz": "zlib1g", "libzstd": "libzstd1", "libfmt": "libfmt9", "libspdlog": "libspdlog1.10",
                      "libisal": "libisal2", "libpugixml": "libpugixml1v5",
                      # libcurl, and what it brings along
                      "libcurl": "libcurl4", "libbrotlicommon": "libbrotli1", "libbrotlidec": "libbrotli1",
                      "libcom_err": "libcom-err2", "libffi": "libffi8", "libgmp": "libgmp10", "libgnutls": "libgnutls30",
                      "libgssapi_krb5": "libgssapi-krb5-2", "libhogweed": "libhogweed6", "libidn2": "libidn2-0",
                      "libk5crypto": "libk5crypto3", "libkeyutils": "libkeyutils1", "libkrb5": "libkrb5-3",
                      "libkrb5support": "libkrb5support0", "liblber-2.5": "libldap-2.5-0", "libldap-2.5": "libldap-2.5-0",
                      "libnettle": "libnettle8", "libnghttp2": "libnghttp2-14", "libp11-kit": "libp11-kit0",
                      "libpsl": "libpsl5", "libresolv": "libc6", "librtmp": "librtmp1", "libsasl2": "libsasl2-2",
                      "libssh2": "libssh2-1", "libtasn1": "libtasn1-6", "libunistring": "libunistring2"}


def test_sbom_covers_every_library(files):
    document = json.loads((files / "usr/share/sbom/ckpt.spdx.json").read_text(encoding="utf-8"))
    linked = packages_with(document, "DYNAMIC_LINK")
    libraries = {path.name.split(".so")[0] for path in files.rglob("*.so*") if path.is_file()}
    assert libraries >= {"libc", "libstdc++"}
    missing = {name for name in libraries if PACKAGE_OF_LIBRARY.get(name, name) not in linked}
    assert not missing, f"in the image, but not in its SBOM: {missing}"
    assert {PACKAGE_OF_LIBRARY[name] for name in libraries} == set(linked), "nothing is listed that is not there"
    for name in linked:
        assert (files / f"usr/share/doc/{name}/copyright").exists(), f"the licence of {name}"


def test_sbom_covers_what_is_compiled_in(files):
    """Each header-only library whose header one of our sources includes."""
    document = json.loads((files / "usr/share/sbom/ckpt.spdx.json").read_text(encoding="utf-8"))
    compiled_in = packages_with(document, "STATIC_LINK")
    owners = {"CLI": "libcli11-dev", "nlohmann": "nlohmann-json3-dev", "toml++": "libtomlplusplus-dev",
              "tl": "libexpected-dev", "hwy": "libhwy-dev", "fmt": "libfmt-dev", "spdlog": "libspdlog-dev",
              "openssl": "libssl-dev", "zlib.h": "zlib1g-dev", "zstd.h": "libzstd-dev", "curl": "libcurl4-openssl-dev",
              "pugixml.h": "libpugixml-dev"}
    included = set()
    for path in [*containers.ROOT.glob("src/**/*.h"), *containers.ROOT.glob("src/**/*.cc")]:
        included |= set(re.findall(r"^#include <([\w+]+(?:\.h)?)", path.read_text(encoding="utf-8"), re.MULTILINE))
    wanted = {package for word, package in owners.items() if word in included}
    assert len(wanted) >= 5
    assert wanted <= set(compiled_in), f"compiled in, but not in the SBOM: {wanted - set(compiled_in)}"
    assert "libstdc++-12-dev" in compiled_in
    assert "ca-certificates" in packages_with(document, "CONTAINS")
