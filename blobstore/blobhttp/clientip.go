package blobhttp

// This file implements the client's address behind proxies. A client can send
// any header, so only the entries of trusted proxies count. The list is read
// from its end, up to the first address outside the trusted networks.

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

// of returns the client's address. It returns the zero Addr if the address is
// unknown.
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
				return client // the trusted proxy did not name its client, so the proxy is the last known sender
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

// parseAddr parses an address with or without a port, and IPv6 with or without
// brackets. It drops the zone, which is local to this machine.
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

// forwardedFor returns the "for" parameter of one element of a Forwarded
// header. A comma within quotes splits an element in two. No address contains a
// comma, so parseAddr rejects both halves.
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
