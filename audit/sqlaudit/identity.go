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

	"github.com/blobtrail/blobtrail/audit"
	"github.com/blobtrail/blobtrail/secret"
)

// NewDeploymentKey makes the key pair by which the processes of a deployment
// vouch for each other. The name says whose it is, such as "acme.example/files";
// it has neither spaces nor '+'. Keep signing, whose text signing.Reveal returns,
// with the program's other secrets for [Options.DeploymentKey], and never in the database that holds the trail.
// Give verifying to whoever checks the trail, for [VerifyOptions.Keys].
//
// Both are in the format of golang.org/x/mod/sumdb/note, with Ed25519.
func NewDeploymentKey(name string) (signing secret.Text, verifying string, err error) {
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
	case strings.HasPrefix(name, writerKeyPrefix):
		return fmt.Errorf("sqlaudit: the name of a deployment key, %q, begins with %q, as the keys of writers do", name, writerKeyPrefix)
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

// deploymentVerifier returns the verifier that belongs to a deployment's key.
func deploymentVerifier(key secret.Text) (note.Verifier, error) {
	parts := strings.SplitN(key.Reveal(), "+", 5) // PRIVATE+KEY+name+hash+data, whose data may have a '+'
	if len(parts) != 5 {
		return nil, errNoKey
	}
	seed, err := base64.StdEncoding.DecodeString(parts[4])
	if err != nil || len(seed) != 1+ed25519.SeedSize {
		return nil, errNoKey
	}
	public := ed25519.NewKeyFromSeed(seed[1:]).Public().(ed25519.PublicKey)
	verifying, err := note.NewEd25519VerifierKey(parts[2], public)
	if err != nil {
		return nil, errNoKey
	}
	return note.NewVerifier(verifying)
}

var errNoKey = errors.New("it is not a key that NewDeploymentKey made")

// verifiers reads verifier keys. The errors may show them: they are public.
func verifiers(keys []string) ([]note.Verifier, error) {
	var out []note.Verifier
	for _, key := range keys {
		if strings.HasPrefix(key, "PRIVATE+KEY+") {
			return nil, errors.New("sqlaudit: a verifier was given a signing key: it needs the public one, which NewDeploymentKey returned with it")
		}
		v, err := note.NewVerifier(key)
		if err != nil {
			return nil, fmt.Errorf("sqlaudit: verifier key %.200q: %w", key, err)
		}
		out = append(out, v)
	}
	return out, nil
}

// writerKeyPrefix and the writer's id are the name of its key, and the origin
// of its checkpoints.
const writerKeyPrefix = "blobtrail/"

// identity is what a writer signs with.
type identity struct {
	id          string
	signer      note.Signer
	public      ed25519.PublicKey
	certificate string
}

// newIdentity mints a key for w and has it certified.
func newIdentity(w writer, deployment note.Signer) (*identity, error) {
	private, verifying, err := note.GenerateKey(rand.Reader, writerKeyPrefix+w.id)
	if err != nil {
		return nil, fmt.Errorf("sqlaudit: making the writer's key: %w", err)
	}
	signer, err := note.NewSigner(private)
	if err != nil {
		return nil, fmt.Errorf("sqlaudit: making the writer's key: %w", err)
	}
	public, err := publicKey(verifying)
	if err != nil {
		return nil, err
	}
	signers := []note.Signer{signer}
	if deployment != nil {
		signers = append(signers, deployment)
	}
	certificate, err := note.Sign(&note.Note{Text: certificateText(w, verifying)}, signers...)
	if err != nil {
		return nil, fmt.Errorf("sqlaudit: certifying the writer's key: %w", err)
	}
	return &identity{id: w.id, signer: signer, public: public, certificate: string(certificate)}, nil
}

func (i *identity) sign(text string) (string, error) {
	signed, err := note.Sign(&note.Note{Text: text}, i.signer)
	if err != nil {
		return "", fmt.Errorf("sqlaudit: signing: %w", err)
	}
	return string(signed), nil
}

const certificateTitle = "blobtrail writer certificate v1"

func certificateText(w writer, verifying string) string {
	return certificateTitle + "\n" +
		"writer " + w.id + "\n" +
		"key " + verifying + "\n" +
		"origin " + string(new(audit.Column).AppendJSON(nil, w.origin)) + "\n" +
		"started " + w.startedAt.UTC().Format(timeFormat) + "\n"
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

// writerVerifier is the verifier of the writer's signatures, and its key as
// text.
func writerVerifier(id string, public []byte) (note.Verifier, string, error) {
	key, err := note.NewEd25519VerifierKey(writerKeyPrefix+id, public)
	if err != nil {
		return nil, "", err
	}
	v, err := note.NewVerifier(key)
	return v, key, err
}

// openNote returns the text of a note that v signed.
func openNote(signed string, v ...note.Verifier) (string, error) {
	n, err := note.Open([]byte(signed), note.VerifierList(v...))
	if err != nil {
		return "", err
	}
	return n.Text, nil
}
