package audit

import "fmt"

// What every logger must do alike with the events it is given stands here, so
// that implementations differ only in where they put them.

// PrepareIntent returns e as [Journal.Begin] stores it. It is for those who
// implement a Journal. An error wraps [ErrEvent].
func PrepareIntent(e Event) (Event, error) {
	if e.Outcome != "" {
		return e, fmt.Errorf("%w: Begin with outcome %q: an operation that has an outcome is logged, not begun", ErrEvent, cleanText(string(e.Outcome), 80))
	}
	return e.Prepared()
}

// PrepareSettlement returns the events that settle an intent, the final one
// first, as [Intent.Settle] stores them. It is for those who implement a
// Journal. An error wraps [ErrEvent].
func PrepareSettlement(intent Event, r Result, also ...Event) ([]Event, error) {
	switch {
	case r.Outcome == "" || r.Outcome == OutcomeBegun:
		return nil, fmt.Errorf("%w: Settle with outcome %q: want ok, failed, denied or unknown", ErrEvent, r.Outcome)
	case r.SettledBy != "" && r.SettledBy != SettledByWriter && r.SettledBy != SettledByReconciler:
		return nil, fmt.Errorf("%w: SettledBy %q: want writer or reconciler", ErrEvent, cleanText(string(r.SettledBy), 80))
	}
	return prepareFinal(append([]Event{intent.With(r)}, also...)...)
}

// PrepareLog returns e as [Logger.Log] stores it. It is for those who implement
// a Logger. An error wraps [ErrEvent].
func PrepareLog(e Event) (Event, error) {
	events, err := prepareFinal(e)
	if err != nil {
		return e, err
	}
	return events[0], nil
}

func prepareFinal(events ...Event) ([]Event, error) {
	out := make([]Event, len(events))
	for i, e := range events {
		if e.Outcome == "" {
			e.Outcome = OutcomeOK
		}
		p, err := e.Prepared()
		if err != nil {
			return nil, err
		}
		out[i] = p
	}
	return out, nil
}

func errDuplicateIntent(opID string) error {
	return fmt.Errorf("%w: operation %s is open already", ErrEvent, opID)
}
