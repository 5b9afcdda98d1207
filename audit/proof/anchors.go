package proof

// This file implements the comparison of a log with what its writer published. A
// published object counts only if the writer signed it, and the writer only if it
// is certified: nothing is concluded from the name of an object.

import (
	"slices"
	"sync"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// anchors are what a writer published.
type anchors struct {
	certificate note.Verifier // from the published certificate, if that is good
	sizes       []int64       // ascending
	roots       []tlog.Hash   // of the log at these sizes

	one       sync.Mutex // the fields below
	last      int64      // the largest size that the writer published
	published int64      // how many checkpoints were compared
	differs   bool
}

// Anchors feeds what is in the bucket of the writer: its certificate, or "",
// and the sizes of its checkpoints in ascending order. Neither is trusted.
// It reports whether a signature of the writer can be checked at all; otherwise
// its checkpoints are counted and left out.
func (l *Log) Anchors(certificate string, sizes []int64) bool {
	l.anchors.sizes = sizes
	if certificate != "" {
		l.anchors.certificate = l.openCertificate(certificate)
		if l.anchors.certificate == nil {
			l.c.leaveOut(1)
		} else if l.w != nil && certificate != l.w.Certificate {
			l.find(l.finding(kindCertificate, -1, "the certificate that was published is not the one in the database: the writer's key was replaced"))
		}
	}
	if l.anchors.certificate == nil && l.verifier == nil {
		l.c.leaveOut(len(sizes))
		return false
	}
	return true
}

// openCertificate returns the verifier of the writer's signatures; nil unless the
// writer signed the certificate and, if there are keys, one of them did.
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

// leaveOut counts objects that no writer of the trail signed.
func (c *Checker) leaveOut(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unverified += int64(n)
}

// grow notes the root of t if a checkpoint of its size was published.
func (a *anchors) grow(t *Tree) {
	i := len(a.roots)
	for ; i < len(a.sizes) && a.sizes[i] < t.Size; i++ {
		a.roots = append(a.roots, tlog.Hash{}) // before the frontier
	}
	if i < len(a.sizes) && a.sizes[i] == t.Size {
		a.roots = append(a.roots, t.Root())
	}
}

// Published feeds a published checkpoint of a size that [Log.Anchors] named, and
// reports whether it is one that the writer signed for that size. Others are
// counted and left out. Feed the sizes from the largest downward until the first
// that is valid, which covers all entries before it, and then any others. arrived
// says that the trail has all entries up to size by now, although it did not when
// the log was fed.
func (l *Log) Published(size int64, signed string, arrived bool) bool {
	v := l.anchors.certificate
	if v == nil {
		// Published before its certificate was, or the certificate is gone.
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
		return true // removed by a valid order, or reported above
	}
	l.published++
	// After a gap or a changed entry the trees differ for a reason that was
	// reported, but the published checkpoint says so too, once.
	root, known := l.rootAt(size)
	if known && c.root != root && !l.differs {
		l.differs = true
		f := l.finding(kindPublished, l.stream.First, "the checkpoint published for %d entries has another root than the entries give: they were rewritten", size)
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
		f := l.finding(kindWriter, 0, "the writer is gone: it published that it had %d entries, and the database does not know it", size)
		f.Last = size - 1
		l.find(f)
		l.report()
	case size > l.next && !arrived:
		l.cut("published", size)
	}
}

// certified reports whether what was published is of a writer of this trail: the
// one that the database has, if its certificate is good, or the one whose
// published certificate is.
func (l *Log) certified() bool {
	return l.anchors.certificate != nil || l.odd == nil && (len(l.c.keys) == 0 || l.stream.CertifiedBy != "")
}

// rootAt returns the root of the log at a published size, if that is known.
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
