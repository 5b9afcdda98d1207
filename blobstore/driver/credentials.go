package driver

import (
	"fmt"
	"slices"
	"strings"

	"github.com/blobtrail/blobtrail/secret"
)

// Credentials are explicit credentials for a bucket that a URL names. A URL is no
// place for secrets. A provider uses them instead of those that it finds in the
// environment. Each provider names the fields that it uses; see [Register]. The
// zero value sets none.
type Credentials struct {
	AccessKey, SecretKey secret.Text // s3
	ConnectionString     secret.Text // azblob
	CredentialsFile      string      // gs: the path of a service account's JSON key
}

// IsZero reports whether no field is set.
func (c Credentials) IsZero() bool { return c.only(nil) == nil }

// only returns an error if another field than the named ones is set, because
// going on without it would be a surprise.
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
			return fmt.Errorf("the provider takes no credentials, and %s is set", f.name)
		default:
			return fmt.Errorf("the provider takes the credentials %s, and %s is set", strings.Join(fields, " and "), f.name)
		}
	}
	return nil
}
