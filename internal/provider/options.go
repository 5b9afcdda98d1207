package provider

import (
	"fmt"
	"net/http"
	"time"
)

// Option is the name of a provider option, and whether it is set.
type Option struct {
	Name string
	Set  bool
}

// AtMostOne returns an error if more than one of the options is set, because
// only one could apply. The error names the first two.
func AtMostOne(options ...Option) error {
	first := ""
	for _, o := range options {
		switch {
		case !o.Set:
		case first != "":
			return fmt.Errorf("Options.%s and Options.%s are both set: want one of them", first, o.Name)
		default:
			first = o.Name
		}
	}
	return nil
}

// CheckTransport checks the transport options, common to all providers.
func CheckTransport(transport http.RoundTripper, stall time.Duration) error {
	if stall < 0 {
		return fmt.Errorf("Options.StallTimeout is %v: want a positive duration, or 0 for a minute", stall)
	}
	return AtMostOne(Option{"Transport", transport != nil}, Option{"StallTimeout", stall != 0})
}
