// Package cloudhttp makes the HTTP transport of the cloud providers. The
// default transports of the SDKs wait forever if a server accepts a connection
// and then hangs. This transport gives up if no bytes move, but never limits
// the duration of an active transfer.
package cloudhttp

import (
	"context"
	"net"
	"net/http"
	"time"
)

// DefaultStall is the time without progress after which a connection ends.
const DefaultStall = time.Minute

const (
	askTimeout  = 10 * time.Second
	dialTimeout = 5 * time.Second
	maxIdle     = 64 // idle connections for one host
)

// Transport returns a transport that ends a connection if it waits for bytes
// and none is sent or received for the duration stall. 0 means DefaultStall.
// The transport supports only HTTP/1.1: on an HTTP/2 connection, one slow
// reader would look like a hanging server to all others. The caller must call
// CloseIdleConnections when done.
func Transport(stall time.Duration) *http.Transport {
	if stall <= 0 {
		stall = DefaultStall
	}
	dialer := &net.Dialer{Timeout: min(dialTimeout, stall), KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return &conn{c, stall}, nil
		},
		TLSHandshakeTimeout:   min(10*time.Second, stall),
		ResponseHeaderTimeout: stall,
		// A pooled connection always has a pending read, so it ends after
		// stall. Remove it from the pool earlier.
		IdleConnTimeout:       stall / 2,
		ExpectContinueTimeout: time.Second,
		MaxIdleConns:          2 * maxIdle,
		MaxIdleConnsPerHost:   maxIdle,
		DisableCompression:    true, // downloads must return the stored bytes
	}
}

// Or returns given, or a new transport with the given stall if given is nil. It
// also returns a function that closes the idle connections of a new transport.
func Or(given http.RoundTripper, stall time.Duration) (t http.RoundTripper, closeIdle func()) {
	if given != nil {
		return asStored{given}, func() {}
	}
	made := Transport(stall)
	return made, made.CloseIdleConnections
}

// asStored prevents a transport from requesting compressed responses, and from
// decoding objects stored with an encoding. A request may still accept an
// encoding explicitly.
type asStored struct{ http.RoundTripper }

func (t asStored) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Header.Get("Accept-Encoding") == "" {
		r = r.Clone(r.Context())
		r.Header.Set("Accept-Encoding", "identity")
	}
	return t.RoundTripper.RoundTrip(r)
}

// conn extends its deadline with every transfer. A write also extends the
// deadline of a pending read, because the transport waits for the response
// while it sends.
type conn struct {
	net.Conn
	stall time.Duration
}

func (c *conn) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.stall)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c *conn) Write(p []byte) (int, error) {
	// Write in pieces, so that a slow but steady connection does not time out.
	const piece = 64 << 10
	n := 0
	for {
		if err := c.SetDeadline(time.Now().Add(c.stall)); err != nil {
			return n, err
		}
		m, err := c.Conn.Write(p[n:min(n+piece, len(p))])
		n += m
		if err != nil || n == len(p) {
			return n, err
		}
	}
}
