"""Reads a node's API server as kubectl does, without a process of kubectl for each look: one takes a tenth of a second of a core, and
who waits for a Job looks some times a second."""

import http.client
import json
import re
import ssl
import urllib.parse
from pathlib import Path

# By kind, as kubectl names it: below which path its objects lie.
PATHS = {"jobs": "/apis/batch/v1/namespaces/default/jobs", "pods": "/api/v1/namespaces/default/pods",
         "events": "/api/v1/namespaces/default/events", "nodes": "/api/v1/nodes"}


class Api:
    """A connection, kept open, of whoever a kubeconfig of tools/cluster.sh is of."""

    def __init__(self, kubeconfig: Path):
        text = kubeconfig.read_text(encoding="utf-8")
        address, token = (re.search(pattern, text)[1] for pattern in (r'server: "https://(.*?)"', r'token: "(.*?)"'))
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # as the kubeconfig says: the server signs for itself
        self.connection = http.client.HTTPSConnection(address, timeout=60, context=context)
        self.headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}

    def get(self, kind: str, name: str = "", labels: str = "") -> dict:
        """The object of this name, or those with these labels, as `kubectl get -o json` prints them. Raises LookupError for another
        answer than 200."""
        path = PATHS[kind] + (f"/{name}" if name else f"?labelSelector={urllib.parse.quote(labels)}")
        for is_last in (False, True):
            try:
                self.connection.request("GET", path, headers=self.headers)
                answer = self.connection.getresponse()
                text = answer.read()
                break
            except (http.client.HTTPException, OSError):  # the server may have closed what was idle; once more on a new connection
                self.connection.close()
                if is_last:
                    raise
        if answer.status != 200:
            raise LookupError(f"GET {path}: {answer.status} {text.decode(errors='replace')[:500]}")
        return json.loads(text)
