package sqlaudit

// Who signs: a writer's fresh key, and the deployment's key that certifies it.

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/blobtrail/blobtrail/audit/proof"
	"github.com/blobtrail/blobtrail/secret"
)

// GenerateDeploymentKey makes the key pair by which the processes of a deployment
// vouch for each other. The name says whose it is, such as "acme.example/files";
// it has neither spaces nor '+'. Keep signing, whose text signing.Reveal returns,
// with the program's other secrets for [Options.DeploymentKey], and never in the database that holds the trail.
// Give verifying to whoever checks the trail, for [VerifyOptions.Keys].
//
// Both are in the format of golang.org/x/mod/sumdb/note, with Ed25519.
func GenerateDeploymentKey(name string) (signing secret.Text, verifying string, err error) {
	if err := checkKeyName(name); err != nil {
		return secret.Text{}, "", err
	}
	s, v, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		return secret.Text{}, "", fmt.Errorf("sqlaudit: making a deployment key: %w", err)
	}
	return secret.New(s), v, nil
}

func checkKeyName(name string) error {
	switch {
	case name == "" || len(name) > 128 || strings.ContainsAny(name, "+\n") || strings.Join(strings.Fields(name), "") != name:
		return fmt.Errorf("sqlaudit: the name of a deployment key, %.140q, has to have 1 to 128 bytes without spaces or '+'", name)
	case strings.HasPrefix(name, proof.KeyName("")):
		return fmt.Errorf("sqlaudit: the name of a deployment key, %q, begins with %q, as the keys of writers do", name, proof.KeyName(""))
	}
	return nil
}

// deploymentSigner returns the signer of a deployment's key. Its errors do not
// show the key, and neither does printing the signer: package note keeps the key
// in a function.
func deploymentSigner(key secret.Text) (note.Signer, error) {
	s, err := note.NewSigner(key.Reveal())
	if err != nil {
		return nil, errNoKey
	}
	if err := checkKeyName(s.Name()); err != nil {
		return nil, err
	}
	return s, nil
}

// deploymentVerifier returns the verifier key that belongs to a deployment's key.
func deploymentVerifier(key secret.Text) (string, error) {
	parts := strings.SplitN(key.Reveal(), "+", 5) // PRIVATE+KEY+name+hash+data, whose data may have a '+'
	if len(parts) != 5 {
		return "", errNoKey
	}
	seed, err := base64.StdEncoding.DecodeString(parts[4])
	if err != nil || len(seed) != 1+ed25519.SeedSize {
		return "", errNoKey
	}
	public := ed25519.NewKeyFromSeed(seed[1:]).Public().(ed25519.PublicKey)
	verifying, err := note.NewEd25519VerifierKey(parts[2], public)
	if err != nil {
		return "", errNoKey
	}
	return verifying, nil
}

var errNoKey = errors.New("it is not a key that GenerateDeploymentKey made")

// identity is a writer with its key.
type identity struct {
	proof.Writer
	signer note.Signer
}

// newIdentity generates a key for w and has it certified.
func newIdentity(w proof.Writer, deployment note.Signer) (*identity, error) {
	fail := func(err error) (*identity, error) {
		return nil, fmt.Errorf("sqlaudit: generating the writer's key: %w", err)
	}
	private, verifying, err := note.GenerateKey(rand.Reader, proof.KeyName(w.ID))
	if err != nil {
		return fail(err)
	}
	i := &identity{Writer: w}
	if i.signer, err = note.NewSigner(private); err != nil {
		return fail(err)
	}
	if i.PublicKey, err = publicKey(verifying); err != nil {
		return fail(err)
	}
	signers := []note.Signer{i.signer}
	if deployment != nil {
		signers = append(signers, deployment)
	}
	text, err := i.CertificateText()
	if err != nil {
		return fail(err)
	}
	certificate, err := note.Sign(&note.Note{Text: text}, signers...)
	if err != nil {
		return fail(err)
	}
	i.Certificate = string(certificate)
	return i, nil
}

func (i *identity) sign(text string) (string, error) {
	signed, err := note.Sign(&note.Note{Text: text}, i.signer)
	if err != nil {
		return "", fmt.Errorf("sqlaudit: signing: %w", err)
	}
	return string(signed), nil
}

// publicKey takes the 32 bytes out of a verifier key.
func publicKey(verifying string) (ed25519.PublicKey, error) {
	parts := strings.SplitN(verifying, "+", 3)
	raw, err := base64.StdEncoding.DecodeString(parts[len(parts)-1])
	if err != nil || len(raw) != 1+ed25519.PublicKeySize {
		return nil, errors.New("sqlaudit: not an Ed25519 verifier key")
	}
	return raw[1:], nil
}

// openNote returns the text of a note that v signed.
func openNote(signed string, v ...note.Verifier) (string, error) {
	n, err := note.Open([]byte(signed), note.VerifierList(v...))
	if err != nil {
		return "", err
	}
	return n.Text, nil
}
