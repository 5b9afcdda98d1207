package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	. "github.com/blobtrail/blobtrail/audit"
)

// Package audittest checks journals that are also readers. This file checks the
// others, and the loggers that pass events on: they must pass events on
// unchanged.

var (
	anna = Actor{UserID: "anna", IP: "203.0.113.7"}
	bert = Actor{UserID: "bert"}
)

// attributed runs the same calls on any journal and returns the expected actors
// of the entries, in order. begun reports whether Begin writes an entry too.
func attributed(t *testing.T, j Journal, begun bool) (want []string) {
	t.Helper()
	by := func(a Actor) context.Context { return WithActor(t.Context(), a) }
	require.NoError(t, j.Log(by(anna), Event{Action: ActionDownload}))
	require.NoError(t, j.Log(by(anna), Event{Action: ActionDownload, Actor: Actor{IP: "198.51.100.1"}}))
	require.NoError(t, j.Log(by(Actor{}), Event{Action: ActionDownload}))
	want = []string{"anna 203.0.113.7", " 198.51.100.1", " "}
	for _, of := range []struct {
		begins Actor
		shown  string
	}{{anna, "anna 203.0.113.7"}, {Actor{}, " "}} {
		in, err := j.Begin(by(of.begins), Event{Action: ActionUpload}, 0)
		require.NoError(t, err)
		assert.Equal(t, of.begins, in.Event().Actor)
		require.NoError(t, in.Settle(by(bert), Result{Outcome: OutcomeOK}, Event{Action: ActionIssueLink}, Event{Action: ActionIssueLink, Actor: anna}))
		if begun {
			want = append(want, of.shown)
		}
		want = append(want, of.shown, "bert ", "anna 203.0.113.7")
	}
	return want
}

func shown(events []Event) (out []string) {
	for _, e := range events {
		out = append(out, e.Actor.UserID+" "+e.Actor.IP)
	}
	return out
}

// obedient is a Logger that follows the contract, like a third-party one.
type obedient struct{ script }

func (o *obedient) Log(ctx context.Context, e Event) error {
	e, err := PrepareLog(ctx, e)
	if err != nil {
		return err
	}
	return o.script.Log(ctx, e)
}

func TestAsJournalAttributes(t *testing.T) {
	careless, careful := &script{}, &obedient{}
	assert.Equal(t, attributed(t, AsJournal(careless), true), shown(careless.events), "a Logger that looks at the event alone")
	assert.Equal(t, attributed(t, AsJournal(careful), true), shown(careful.events), "a Logger that looks at the context too")
}

func TestMultiAttributes(t *testing.T) {
	first, careless, careful := &Memory{}, &script{}, &obedient{}
	want := attributed(t, Multi(first, careless, careful), false)
	var stored []Event
	for _, en := range entries(t, first) {
		stored = append(stored, en.Event)
	}
	assert.Equal(t, want, shown(stored))
	assert.Equal(t, want, shown(careless.events))
	assert.Equal(t, want, shown(careful.events))

	careless = &script{}
	want = attributed(t, Multi(careless, &obedient{}), true)
	assert.Equal(t, want, shown(careless.events))
}

func TestSlogAttributes(t *testing.T) {
	var b bytes.Buffer
	want := attributed(t, AsJournal(Slog{Logger: slog.New(slog.NewJSONHandler(&b, nil))}), true)
	var got []string
	for dec := json.NewDecoder(&b); dec.More(); {
		var line struct {
			Event struct {
				User string `json:"user_id"`
				IP   string `json:"ip_address"`
			}
		}
		require.NoError(t, dec.Decode(&line))
		got = append(got, line.Event.User+" "+line.Event.IP)
	}
	assert.Equal(t, want, got)
}

func TestDiscardAttributes(t *testing.T) { attributed(t, Discard, false) }
