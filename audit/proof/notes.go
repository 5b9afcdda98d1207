package proof

// This file implements reading signed notes.

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/blobtrail/blobtrail/audit"
)

// openNote returns the text of a note signed by one of v.
func openNote(signed string, v ...note.Verifier) (string, error) {
	n, err := note.Open([]byte(signed), note.VerifierList(v...))
	if err != nil {
		return "", err
	}
	return n.Text, nil
}

// unverified returns a note without checking its signatures.
func unverified(signed string) (*note.Note, error) {
	_, err := note.Open([]byte(signed), note.VerifierList())
	var found *note.UnverifiedNoteError
	if !errors.As(err, &found) {
		return nil, fmt.Errorf("not a signed note: %w", err)
	}
	return found.Note, nil
}

func unverifiedText(signed string) (string, error) {
	n, err := unverified(signed)
	if err != nil {
		return "", err
	}
	return n.Text, nil
}

// signerOf returns the ID of the writer that an order claims as its signer.
func signerOf(signed string) (writerID string, err error) {
	n, err := unverified(signed)
	if err != nil {
		return "", err
	}
	for _, sig := range n.UnverifiedSigs {
		if id, ok := strings.CutPrefix(sig.Name, KeyName("")); ok && isUUID(id) {
			return id, nil
		}
	}
	return "", errors.New("not signed by a writer")
}

// publicKey extracts the 32 bytes of the key from a verifier key.
func publicKey(verifying string) (ed25519.PublicKey, error) {
	parts := strings.SplitN(verifying, "+", 3)
	raw, err := base64.StdEncoding.DecodeString(parts[len(parts)-1])
	if err != nil || len(raw) != 1+ed25519.PublicKeySize {
		return nil, errors.New("not an Ed25519 verifier key")
	}
	return raw[1:], nil
}

// isUUID reports whether s is a lowercase UUID, as in the columns of an entry.
func isUUID(s string) bool {
	return audit.Columns()[idColumn].SetValue(new(audit.Entry), s) == nil
}
