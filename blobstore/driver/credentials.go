package driver

import (
	"fmt"
	"slices"
	"strings"

	"github.com/blobtrail/blobtrail/secret"
)

// Credentials are explicit credentials for the bucket of a URL. They exist
// because a URL must not contain secrets. A provider uses them instead of the
// credentials of the environment. Each provider names the fields it uses; see
// [Register]. The zero value has no credentials.
type Credentials struct {
	AccessKey, SecretKey secret.Text // for s3
	ConnectionString     secret.Text // for azblob
	CredentialsFile      string      // for gs: path of the JSON key of a service account
}

// IsZero reports whether no field is set.
func (c Credentials) IsZero() bool { return c.only(nil) == nil }

// only returns an error if a field outside the given ones is set. Ignoring such
// a field would be a surprise.
func (c Credentials) only(fields []string) error {
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"AccessKey", !c.AccessKey.IsZero()}, {"SecretKey", !c.SecretKey.IsZero()},
		{"ConnectionString", !c.ConnectionString.IsZero()}, {"CredentialsFile", c.CredentialsFile != ""},
	} {
		switch {
		case !f.set || slices.Contains(fields, f.name):
		case len(fields) == 0:
			return fmt.Errorf("the provider accepts no credentials, but %s is set", f.name)
		default:
			return fmt.Errorf("the provider accepts only the credentials %s, but %s is set", strings.Join(fields, " and "), f.name)
		}
	}
	return nil
}
