package cloudhttp

import (
	"errors"
	"net/url"
	"strings"
)

// WithoutQuery removes the query from the URL in an error of package http. The
// query may contain a signature that authorizes requests.
func WithoutQuery(err error) error {
	if ue := (*url.Error)(nil); errors.As(err, &ue) {
		if _, query, _ := strings.Cut(ue.URL, "?"); query != "" {
			return &redactedError{err, query}
		}
	}
	return err
}

type redactedError struct {
	err    error
	secret string
}

func (e *redactedError) Error() string {
	return strings.ReplaceAll(e.err.Error(), e.secret, "[redacted]")
}

func (e *redactedError) Unwrap() error { return e.err }
