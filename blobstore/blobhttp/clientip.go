package blobhttp

// The client's address behind proxies. Whoever sends a request can write any header, so what counts is what the nearest
// trusted proxy wrote: the list is walked from its end, and ends at the first address that is not a trusted proxy's.

import (
	"net/http"
	"net/netip"
	"net/textproto"
	"strings"
)

type clientIPs struct {
	trusted []netip.Prefix
	header  string
}

var noProxies = newClientIPs(nil, "")

func newClientIPs(trusted []netip.Prefix, header string) *clientIPs {
	c := &clientIPs{header: textproto.CanonicalMIMEHeaderKey(header)}
	if header == "" {
		c.header = "X-Forwarded-For"
	}
	for _, p := range trusted {
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		c.trusted = append(c.trusted, p)
	}
	return c
}

// of returns the client's address; the zero Addr if it is not known.
func (c *clientIPs) of(r *http.Request) netip.Addr {
	client := parseAddr(r.RemoteAddr)
	if !c.trusts(client) {
		return client
	}
	lines := r.Header[c.header]
	for i := len(lines) - 1; i >= 0; i-- {
		rest := lines[i]
		for rest != "" {
			var last string
			if j := strings.LastIndexByte(rest, ','); j >= 0 {
				rest, last = rest[:j], rest[j+1:]
			} else {
				rest, last = "", rest
			}
			if c.header == "Forwarded" {
				last = forwardedFor(last)
			}
			hop := parseAddr(last)
			if !hop.IsValid() {
				return client // a trusted proxy did not say from whom it has it: that one is all that is known
			}
			client = hop
			if !c.trusts(client) {
				return client
			}
		}
	}
	return client
}

func (c *clientIPs) trusts(a netip.Addr) bool {
	if !a.IsValid() {
		return false
	}
	for _, p := range c.trusted {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// parseAddr reads an address with or without a port, IPv6 with or without
// brackets. The zone is dropped: it is of this machine, not of the client.
func parseAddr(s string) netip.Addr {
	s = strings.TrimSpace(s)
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone("")
	}
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		s = s[1 : len(s)-1]
		if !strings.Contains(s, ":") {
			return netip.Addr{}
		}
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap().WithZone("")
}

// forwardedFor returns the "for" of one element of a Forwarded header. A comma
// within quotes would split an element in two; no address has one, so that both
// halves are refused as addresses.
func forwardedFor(element string) string {
	for pair := range strings.SplitSeq(element, ";") {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || !strings.EqualFold(strings.TrimSpace(name), "for") {
			continue
		}
		value = strings.TrimSpace(value)
		if len(value) >= 2 && value[0] == '"' && value[len(value)-1] == '"' {
			value = value[1 : len(value)-1]
		}
		return value
	}
	return ""
}
