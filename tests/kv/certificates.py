"""Certificates for one test run: an authority, a server certificate that it signed, and another authority."""

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

_KEY = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
_COMMANDS = (
    f"req -x509 {_KEY} -days 2 -subj /CN=authority -keyout ca.key -out ca.pem",
    f"req -x509 {_KEY} -days 2 -subj /CN=other_ca -keyout other_ca.key -out other_ca.pem",
    f"req {_KEY} -subj /CN=server -keyout server.key -out server.csr",
    "x509 -req -days 2 -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile san -out server.pem",
)


class Certificates(NamedTuple):
    """Files: the authority's certificate, the server's, its key, both in one, the other authority's."""

    ca: str
    cert: str
    key: str
    both: str
    other_ca: str


def make(user=""):
    """Make certificates for 127.0.0.1, in a folder that every server can read."""
    folder = Path(tempfile.mkdtemp(prefix="stackl-flow-tls-"))
    folder.chmod(0o755)
    (folder / "san").write_text("subjectAltName=IP:127.0.0.1\n")
    for command in _COMMANDS:
        subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)
    (folder / "both.pem").write_text(
        (folder / "server.key").read_text() + (folder / "server.pem").read_text()
    )
    if user:
        shutil.chown(folder / "server.key", user)
    names = ("ca.pem", "server.pem", "server.key", "both.pem", "other_ca.pem")
    return folder, Certificates(*(str(folder / name) for name in names))
