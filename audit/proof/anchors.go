package proof

// This file implements the comparison of a log with the objects that its writer
// published. An object counts only if the writer signed it, and a writer counts
// only if it is certified. The name of an object proves nothing.

import (
	"slices"
	"sync"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// anchors are the published objects of a writer.
type anchors struct {
	certificate note.Verifier // the key of the published certificate; nil if it is missing or invalid
	sizes       []int64       // sizes of the published checkpoints, ascending
	roots       []tlog.Hash   // roots of the log at these sizes

	one       sync.Mutex // guards the fields below
	last      int64      // the largest published size
	published int64      // the number of checkpoints compared
	differs   bool
}

// Anchors feeds the objects in the writer's folder of the bucket: its
// certificate, or "", and the sizes of its checkpoints in ascending order.
// Anchors trusts neither. It reports whether signatures of the writer can be
// verified. If not, its checkpoints are counted as unverified.
func (l *Log) Anchors(certificate string, sizes []int64) bool {
	l.anchors.sizes = sizes
	if certificate != "" {
		l.anchors.certificate = l.openCertificate(certificate)
		if l.anchors.certificate == nil {
			l.c.leaveOut(1)
		} else if l.w != nil && certificate != l.w.Certificate {
			l.find(l.finding(kindCertificate, -1, "the writer's key was replaced: the published certificate differs from the one in the database"))
		}
	}
	if l.anchors.certificate == nil && l.verifier == nil {
		l.c.leaveOut(len(sizes))
		return false
	}
	return true
}

// openCertificate returns the verifier of the writer's signatures. It returns
// nil unless the writer signed the certificate and, if there are keys, one of
// them did too.
func (l *Log) openCertificate(signed string) note.Verifier {
	w, err := parseWriter(signed)
	if err != nil || w.ID != l.stream.WriterID {
		return nil
	}
	v, by, err := w.Certified(l.c.keys...)
	if err != nil || len(l.c.keys) > 0 && by == "" {
		return nil
	}
	return v
}

// leaveOut counts objects without a signature of a writer of the trail.
func (c *Checker) leaveOut(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unverified += int64(n)
}

// grow stores the root of t if a checkpoint of its size was published.
func (a *anchors) grow(t *Tree) {
	i := len(a.roots)
	for ; i < len(a.sizes) && a.sizes[i] < t.Size; i++ {
		a.roots = append(a.roots, tlog.Hash{}) // the root before the frontier is unknown
	}
	if i < len(a.sizes) && a.sizes[i] == t.Size {
		a.roots = append(a.roots, t.Root())
	}
}

// Published feeds a published checkpoint of a size passed to [Log.Anchors]. It
// reports whether the writer signed the checkpoint for that size; other objects
// are counted as unverified. Feed the sizes from the largest downward until the
// first valid one, which covers all entries before it. Then feed any others.
// arrived means that the trail now has all entries up to size, although some
// were missing when the log was fed.
func (l *Log) Published(size int64, signed string, arrived bool) bool {
	v := l.anchors.certificate
	if v == nil {
		// The checkpoint was published before its certificate, or the
		// certificate is missing.
		v = l.verifier
	}
	c, err := openCheckpoint(signed, v)
	if err != nil || c.size != size {
		l.c.leaveOut(1)
		return false
	}
	l.one.Lock()
	defer l.one.Unlock()
	if l.last == 0 {
		l.anchor(size, arrived)
	}
	if l.w == nil || size < l.stream.First || size > l.next {
		return true // such entries were removed by a valid order, or their absence is already a finding
	}
	l.published++
	// After a gap or a changed entry, the roots differ for a reason already
	// reported. The published checkpoint is evidence too, so report it once.
	root, known := l.rootAt(size)
	if known && c.root != root && !l.differs {
		l.differs = true
		f := l.finding(kindPublished, l.stream.First, "the entries were rewritten: their root differs from the checkpoint published for %d entries", size)
		f.Last = size - 1
		l.find(f)
	}
	return true
}

// anchor compares the log with the largest published size.
func (l *Log) anchor(size int64, arrived bool) {
	l.last, l.stream.Published = size, size
	if l.certified() {
		l.c.mu.Lock()
		l.c.anchored = true
		l.c.mu.Unlock()
	}
	switch {
	case l.w == nil:
		f := l.finding(kindWriter, 0, "the writer is missing from the database: it published a checkpoint for %d entries", size)
		f.Last = size - 1
		l.find(f)
		l.report()
	case size > l.next && !arrived:
		l.cut("published", size)
	}
}

// certified reports whether the published objects belong to a writer of this
// trail. Either the published certificate is valid, or the writer in the
// database has a valid certificate.
func (l *Log) certified() bool {
	return l.anchors.certificate != nil || l.odd == nil && (len(l.c.keys) == 0 || l.stream.CertifiedBy != "")
}

// rootAt returns the root of the log at a published size, if known.
func (l *Log) rootAt(size int64) (root tlog.Hash, known bool) {
	if size == l.stream.First {
		return l.first.Root(), true
	}
	i, found := slices.BinarySearch(l.sizes, size)
	if !found || i >= len(l.roots) {
		return root, false
	}
	return l.roots[i], true
}
