package provider

import (
	"errors"
	"fmt"
	"net/url"
)

// CheckURL refuses a bucket URL with credentials or a path. The error quotes
// want, the form of the URL, and credentials, the right place for credentials.
func CheckURL(u *url.URL, want, credentials string) error {
	if u.User != nil {
		return errors.New("the URL contains a user or password: set credentials through " + credentials)
	}
	if u.Path != "" && u.Path != "/" {
		return fmt.Errorf("the URL has the path %q: want only %s; for a folder in it, use a key prefix", u.Path, want)
	}
	return nil
}
