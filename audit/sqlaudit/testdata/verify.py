"""Recomputes the hashes of a trail in SQLite, with Python's standard library only.

    python3 verify.py trail.db
    python3 verify.py vectors.json

This program was written from the specification in the comment of package proof.
It recomputes every leaf, every commitment, and the root at every checkpoint. It
prints a JSON document. The exit code is 0 without findings, and 1 with findings.
It does not check signatures, because the standard library has no Ed25519.
"""

import base64
import hashlib
import json
import sqlite3
import sys

OMITTED = {"leaf", "pii_salt", "user_id", "ip_address", "user_agent", "request_id"}
PERSONAL = ("user_id", "ip_address", "user_agent", "request_id")
OBJECTS = {"details", "attrs"}
HEX = {"sha256", "pii_commitment"}
SHORT = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def string(s):
    return '"' + "".join(SHORT.get(c) or (c if c >= " " else "\\u%04x" % ord(c)) for c in s) + '"'


def strings(text):
    pairs = json.loads(text).items()
    ordered = sorted(pairs, key=lambda p: p[0].encode("utf-16-be"))
    return "{" + ",".join(string(k) + ":" + string(v) for k, v in ordered) + "}"


def canonical(entry):
    members = []
    for name in sorted(entry):
        value = entry[name]
        if name in OMITTED or value is None:
            continue
        if name in OBJECTS:
            text = strings(value)
        elif name in HEX:
            text = '"' + value.hex() + '"'
        elif isinstance(value, int):
            text = str(value)
        else:
            text = string(value)
        members.append('"' + name + '":' + text)
    return ("{" + ",".join(members) + "}").encode()


def commitment(entry):
    data = [entry["pii_salt"]]
    for name in PERSONAL:
        if entry[name] is None:
            data.append(b"\xff" * 8)
        else:
            text = entry[name].encode()
            data += [len(text).to_bytes(8, "big"), text]
    return sha256(*data)


class Tree:
    """The roots of the complete subtrees of RFC 6962, the largest first."""

    def __init__(self, size=0, hashes=b""):
        self.size = size
        self.nodes = [hashes[i : i + 32] for i in range(0, len(hashes), 32)]

    def append(self, leaf):
        self.nodes.append(leaf)
        n = self.size
        while n & 1:
            right, left = self.nodes.pop(), self.nodes.pop()
            self.nodes.append(sha256(b"\x01", left, right))
            n >>= 1
        self.size += 1

    def root(self):
        if not self.nodes:
            return sha256()
        h = self.nodes[-1]
        for left in reversed(self.nodes[:-1]):
            h = sha256(b"\x01", left, h)
        return h


def verify(path):
    db = sqlite3.connect("file:" + path + "?mode=ro", uri=True)
    db.row_factory = sqlite3.Row
    problems, writers = [], {}
    count = {"entries": 0, "erased": 0, "checkpoints": 0}
    ids = [r[0] for r in db.execute("SELECT writer_id FROM file_access_writers ORDER BY writer_id")]
    unknown = "SELECT count(*) FROM file_access_logs WHERE writer_id NOT IN (SELECT writer_id FROM file_access_writers)"
    if db.execute(unknown).fetchone()[0]:
        problems.append("entries of writers that are not known")
    for writer in ids:
        frontier = db.execute(
            "SELECT tree_size, hashes FROM file_access_frontiers WHERE writer_id = ? ORDER BY tree_size DESC", (writer,)
        ).fetchone()
        tree = Tree(*frontier) if frontier else Tree()
        first = tree.size
        roots = {
            size: note.split("\n\n")[0].split("\n")
            for size, note in db.execute("SELECT tree_size, note FROM file_access_checkpoints WHERE writer_id = ?", (writer,))
        }

        def checkpoint():
            note = roots.pop(tree.size, None)
            if note is None:
                return
            count["checkpoints"] += 1
            want = ["blobtrail/" + writer, str(tree.size), base64.b64encode(tree.root()).decode()]
            if note != want:
                problems.append("writer %s: the checkpoint at %d says %s, the entries give %s" % (writer, tree.size, note, want))

        checkpoint()
        covered = tree.size if first else 0
        for row in db.execute("SELECT * FROM file_access_logs WHERE writer_id = ? ORDER BY seq", (writer,)):
            entry = dict(row)
            where = "writer %s, entry %s" % (writer, entry["seq"])
            count["entries"] += 1
            if entry["seq"] != tree.size:
                problems.append("%s: stands in place %d" % (where, tree.size))
            leaf = sha256(b"\x00", canonical(entry))
            if leaf != entry["leaf"]:
                problems.append(where + ": its leaf is not the hash of its content")
            if entry["pii_salt"] is None:
                count["erased"] += 1
                if any(entry[name] is not None for name in PERSONAL):
                    problems.append(where + ": personal fields without their salt")
            elif commitment(entry) != entry["pii_commitment"]:
                problems.append(where + ": its personal fields are not those it commits to")
            tree.append(leaf)
            if tree.size in roots:
                covered = tree.size
            checkpoint()
        if covered != tree.size:
            problems.append("writer %s: the checkpoints end at %d, the entries at %d" % (writer, covered, tree.size))
        if roots:
            problems.append("writer %s: checkpoints at %s, where there is no entry" % (writer, sorted(roots)))
        writers[writer] = {"first": first, "size": tree.size, "root": base64.b64encode(tree.root()).decode()}
    return {**count, "writers": writers, "problems": problems}


def vectors(path):
    """Checks the test vectors of entries."""
    with open(path, encoding="utf-8") as f:
        listed = json.load(f)
    problems = []
    for v in listed:
        entry = dict.fromkeys(PERSONAL)
        entry.update(v["columns"], pii_commitment=bytes.fromhex(v["pii_commitment"]))
        for name in ("sha256", "pii_salt"):
            if entry.get(name):
                entry[name] = bytes.fromhex(entry[name])
        if canonical(entry).decode() != v["canonical"]:
            problems.append("%s: the canonical form differs" % v["name"])
        if sha256(b"\0", canonical(entry)).hex() != v["leaf"]:
            problems.append("%s: the leaf differs" % v["name"])
        if entry.get("pii_salt") and commitment(entry) != entry["pii_commitment"]:
            problems.append("%s: the commitment differs" % v["name"])
    return {"entries": len(listed), "problems": problems}


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: verify.py trail.db, or verify.py vectors.json")
    result = (vectors if sys.argv[1].endswith(".json") else verify)(sys.argv[1])
    print(json.dumps(result, indent=1))
    sys.exit(1 if result["problems"] else 0)
