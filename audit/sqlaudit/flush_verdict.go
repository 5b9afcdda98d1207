package sqlaudit

// attempt is what is known after a flush that failed.
type attempt struct {
	class   class // of the error; unclear if it could not be found out whether the rows are stored
	unknown bool  // this attempt or an earlier one may have been committed
	found   bool  // the rows of the batch are in the trail
	rows    bool  // the batch has entries
	queued  bool  // the callers do not wait: their entries must not be lost to an error that may pass
	late    bool  // the intents of the batch may have run out since the first attempt
}

// verdict says what becomes of a batch after a flush that failed.
type verdict int

const (
	verdictStored  verdict = iota // it is stored after all
	verdictRetry                  // the same batch again, after a pause
	verdictRefused                // without the jobs whose intents are not as expected
	verdictSplit                  // in halves: the database refuses a value
	verdictLost                   // given up; it may be stored
	verdictFailed                 // not stored, and it never will be
)

// verdict decides what becomes of the batch. It does no I/O.
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

// refused reports whether intents of the batch could not come in or go out.
func (c class) refused() bool { return c == conflict || c == locked }
