package sqlaudit

// attempt is the state of a batch after a failed flush.
type attempt struct {
	class   class // of the error; unclear if it is unknown whether the rows are stored
	unknown bool  // this attempt or an earlier one may have been committed
	found   bool  // the rows of the batch are in the trail
	rows    bool  // the batch contains entries
	queued  bool  // no caller waits: temporary errors must not lose the entries
	late    bool  // the leases of the intents may have expired since the first attempt
}

// verdict is the next step for a batch after a failed flush.
type verdict int

const (
	verdictStored  verdict = iota // the batch was stored despite the error
	verdictRetry                  // repeat the same batch after a pause
	verdictRefused                // continue without the jobs whose intents are not as expected
	verdictSplit                  // store the halves separately: the database rejected a value
	verdictLost                   // give up; the batch may be stored
	verdictFailed                 // give up; the batch is not stored
)

// verdict returns the next step for the batch. It does no I/O.
func (a attempt) verdict() verdict {
	switch {
	case a.found:
		return verdictStored
	case a.class == gone:
		return verdictLost
	case a.class == retry, a.class == unclear, a.class == fatal && a.queued:
		if a.late {
			return verdictLost
		}
		return verdictRetry
	case a.class.refused() && (!a.unknown || !a.rows):
		return verdictRefused
	case a.unknown:
		return verdictLost
	case a.class == poison:
		return verdictSplit
	}
	return verdictFailed
}

// refused reports whether some intents of the batch could not be inserted or
// deleted.
func (c class) refused() bool { return c == conflict || c == locked }
