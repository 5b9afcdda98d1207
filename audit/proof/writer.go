package proof

// This file implements keys, the certificates of writers and their checkpoints.

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/blobtrail/blobtrail/audit"
)

// KeyName returns the name of a writer's key, which is also the origin of its
// checkpoints.
func KeyName(writerID string) string { return "blobtrail/" + writerID }

// ParseKeys parses the verifier keys of a deployment. Its errors may contain
// the keys, which are public.
func ParseKeys(keys ...string) ([]note.Verifier, error) {
	var out []note.Verifier
	for _, key := range keys {
		if strings.HasPrefix(key, "PRIVATE+KEY+") {
			return nil, errors.New("proof: got a signing key where a verifier key is required: pass the public key generated with it")
		}
		v, err := note.NewVerifier(key)
		if err != nil {
			return nil, fmt.Errorf("proof: verifier key %.200q: %w", key, err)
		}
		out = append(out, v)
	}
	return out, nil
}

// Writer is a process that wrote entries, with its key and its certificate.
type Writer struct {
	ID          string // a lowercase UUID
	Origin      string
	StartedAt   time.Time
	PublicKey   []byte // the Ed25519 public key
	Certificate string // a signed note
}

const certificateTitle = "blobtrail writer certificate v1"

// CertificateText returns the text of the certificate of w.
func (w *Writer) CertificateText() (string, error) {
	_, key, err := w.verifier()
	return w.certificateText(key), err
}

func (w *Writer) certificateText(key string) string {
	return certificateTitle + "\n" +
		"writer " + w.ID + "\n" +
		"key " + key + "\n" +
		"origin " + string(new(audit.Column).AppendJSON(nil, w.Origin)) + "\n" +
		"started " + w.StartedAt.UTC().Format(audit.TimeFormat) + "\n"
}

// verifier returns the verifier of the writer's signatures, and its key as
// text.
func (w *Writer) verifier() (note.Verifier, string, error) {
	if len(w.PublicKey) != ed25519.PublicKeySize {
		return nil, "", fmt.Errorf("the public key has %d bytes: want %d", len(w.PublicKey), ed25519.PublicKeySize)
	}
	key, err := note.NewEd25519VerifierKey(KeyName(w.ID), w.PublicKey)
	if err != nil {
		return nil, "", err
	}
	v, err := note.NewVerifier(key)
	return v, key, err
}

// Certified checks the certificate of w. It returns the verifier of the
// writer's signatures and the name of the key that certifies the writer.
// Without keys, every writer certifies itself, and by is empty. If no key
// certifies the writer, Certified returns v together with the error.
func (w *Writer) Certified(keys ...note.Verifier) (v note.Verifier, by string, err error) {
	v, key, err := w.verifier()
	if err != nil {
		return nil, "", err
	}
	text, err := openNote(w.Certificate, v)
	if err != nil {
		return v, "", fmt.Errorf("the writer's key did not sign its certificate: %w", err)
	}
	if text != w.certificateText(key) {
		return v, "", errors.New("the key, origin or start in the certificate differs from the database")
	}
	if len(keys) == 0 {
		return v, "", nil
	}
	n, err := note.Open([]byte(w.Certificate), note.VerifierList(keys...))
	if err != nil {
		return v, "", errors.New("none of the given keys certifies this writer")
	}
	return v, n.Sigs[0].Name, nil
}

// parseWriter returns the writer of a certificate. The caller must check the
// signatures.
func parseWriter(signed string) (*Writer, error) {
	text, err := unverifiedText(signed)
	if err != nil {
		return nil, err
	}
	lines := strings.Split(text, "\n")
	if len(lines) != 6 || lines[0] != certificateTitle {
		return nil, errors.New("not a writer certificate")
	}
	id, okWriter := strings.CutPrefix(lines[1], "writer ")
	key, okKey := strings.CutPrefix(lines[2], "key ")
	origin, okOrigin := strings.CutPrefix(lines[3], "origin ")
	started, okStarted := strings.CutPrefix(lines[4], "started ")
	if !okWriter || !okKey || !okOrigin || !okStarted || !isUUID(id) {
		return nil, errors.New("the certificate has no valid writer, key, origin or start")
	}
	w := &Writer{ID: id, Certificate: signed}
	value, err := new(audit.Column).ParseJSON([]byte(origin))
	if err != nil {
		return nil, err
	}
	w.Origin, _ = value.(string)
	if w.StartedAt, err = time.Parse(audit.TimeFormat, started); err != nil {
		return nil, err
	}
	if w.PublicKey, err = publicKey(key); err != nil {
		return nil, err
	}
	if _, own, err := w.verifier(); err != nil || w.certificateText(own) != text {
		return nil, errors.New("the certificate is not in canonical form, or has the key of another writer")
	}
	return w, nil
}

// checkpoint is a writer's statement about its log.
type checkpoint struct {
	writer string
	size   int64
	root   tlog.Hash
}

// CheckpointText returns the text of a writer's checkpoint.
func CheckpointText(writerID string, t *Tree) string {
	return checkpoint{writerID, t.Size, t.Root()}.text()
}

func (c checkpoint) text() string {
	return KeyName(c.writer) + "\n" + strconv.FormatInt(c.size, 10) + "\n" + c.root.String() + "\n"
}

// openCheckpoint returns a checkpoint signed by v, the verifier of a writer.
func openCheckpoint(signed string, v note.Verifier) (c checkpoint, err error) {
	text, err := openNote(signed, v)
	if err != nil {
		return c, err
	}
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[3] != "" {
		return c, errors.New("the checkpoint does not have three lines")
	}
	id, ok := strings.CutPrefix(lines[0], KeyName(""))
	if !ok || !isUUID(id) || lines[0] != v.Name() {
		return c, fmt.Errorf("the origin %.100q is not the name of the key that signed the checkpoint", lines[0])
	}
	c.writer = id
	c.size, err = strconv.ParseInt(lines[1], 10, 64)
	if err != nil || c.size < 0 || strconv.FormatInt(c.size, 10) != lines[1] {
		return c, fmt.Errorf("the size %.40q is not a canonical decimal number", lines[1])
	}
	c.root, err = tlog.ParseHash(lines[2])
	if err != nil || c.root.String() != lines[2] {
		return c, fmt.Errorf("the root %.80q is not a base64 hash", lines[2])
	}
	return c, nil
}

// OpenCheckpoint returns the size in a checkpoint. It fails unless the note is
// a checkpoint signed by the writer with the verifier v.
func OpenCheckpoint(signed string, v note.Verifier) (size int64, err error) {
	c, err := openCheckpoint(signed, v)
	return c.size, err
}
