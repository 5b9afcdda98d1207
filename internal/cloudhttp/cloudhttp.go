// Package cloudhttp makes the HTTP transport of the cloud providers. The SDKs'
// own wait without end for a server that accepts a connection and then hangs;
// this one gives up where nothing moves, however long a transfer that does move
// may take.
package cloudhttp

import (
	"context"
	"net"
	"net/http"
	"time"
)

// DefaultStall is how long a connection may stand still.
const DefaultStall = time.Minute

const (
	askTimeout  = 10 * time.Second
	dialTimeout = 5 * time.Second
	maxIdle     = 64 // connections kept open for one host
)

// Transport returns a transport that ends a connection on which for that long
// no byte was sent or received while one of them was waited for; 0 means
// DefaultStall. It speaks HTTP/1.1 only: on an HTTP/2 connection one reader who
// pauses would look like a server that hangs, to all others. The caller calls
// its CloseIdleConnections in the end.
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
		// A pooled connection is read from all the time, and so ends with the
		// stall; it leaves the pool before that.
		IdleConnTimeout:       stall / 2,
		ExpectContinueTimeout: time.Second,
		MaxIdleConns:          2 * maxIdle,
		MaxIdleConnsPerHost:   maxIdle,
		DisableCompression:    true, // what is stored is what is read
	}
}

// Or returns given, or if that is nil a transport that heeds stall, and a
// function that closes what was made here.
func Or(given http.RoundTripper, stall time.Duration) (t http.RoundTripper, closeIdle func()) {
	if given != nil {
		return asStored{given}, func() {}
	}
	made := Transport(stall)
	return made, made.CloseIdleConnections
}

// asStored keeps a transport from asking for compressed responses, and from
// decoding those of objects that are stored in an encoding, unless the request
// says which encoding it takes.
type asStored struct{ http.RoundTripper }

func (t asStored) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Header.Get("Accept-Encoding") == "" {
		r = r.Clone(r.Context())
		r.Header.Set("Accept-Encoding", "identity")
	}
	return t.RoundTripper.RoundTrip(r)
}

// conn moves its deadline whenever something is to move. A write moves that of
// a waiting read too, since the transport waits for the answer all the time
// that it sends.
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
	// In pieces, so that a slow but steady connection is not taken for a dead one.
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
