package blobstore

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/blobtrail/blobtrail/audit"
)

// tracer creates one span for each operation, with the program's global tracer
// provider. If the program sets none, nothing is traced.
//
// A span has the action, the kind of backend, and the outcome, in the words of
// the trail. It never contains keys, links or error texts, because more people
// read traces than the trail. The child spans of the Go CDK contain keys in
// their errors.
var tracer = otel.Tracer("github.com/blobtrail/blobtrail/blobstore")

// These operations have no action in the trail, or combine several.
const (
	opStage          audit.Action = "stage"
	opCommit         audit.Action = "commit"
	opDiscard        audit.Action = "discard"
	opBeginUpload    audit.Action = "begin_upload"
	opCompleteUpload audit.Action = "complete_upload"
	opAbortUpload    audit.Action = "abort_upload"
)

// spanNames is computed once, because most programs do not trace.
var spanNames = func() map[audit.Action]string {
	names := make(map[audit.Action]string)
	for _, a := range []audit.Action{
		audit.ActionUpload, audit.ActionDownload, audit.ActionDelete, audit.ActionCopy, audit.ActionMove, audit.ActionIssueLink, audit.ActionRedeem,
		audit.ActionRevoke, audit.ActionReconcile, audit.ActionStat, audit.ActionList, audit.ActionScrub, audit.ActionCheck,
		opStage, opCommit, opDiscard, opBeginUpload, opCompleteUpload, opAbortUpload,
	} {
		names[a] = "blobtrail." + string(a)
	}
	return names
}()

const (
	traceAction  = attribute.Key("blobtrail.action")
	traceBackend = attribute.Key("blobtrail.backend")
	traceOutcome = attribute.Key("blobtrail.outcome")
	traceError   = attribute.Key("error.type")
)

// span is the span of one operation.
type span struct {
	trace.Span
	s      *Store
	action audit.Action
}

// trace starts the span of an operation.
func (s *Store) trace(ctx context.Context, action audit.Action) (context.Context, span) {
	ctx, started := tracer.Start(ctx, spanNames[action])
	return ctx, span{started, s, action}
}

// end ends the span and returns err.
func (o span) end(err error) error {
	defer o.End()
	if !o.IsRecording() {
		return err
	}
	outcome := audit.OutcomeOK
	switch {
	case errors.Is(err, ErrDenied):
		outcome = audit.OutcomeDenied
	case errors.Is(err, ErrInDoubt):
		outcome = audit.OutcomeUnknown
	case err != nil:
		outcome = audit.OutcomeFailed
	}
	o.SetAttributes(traceAction.String(string(o.action)), traceBackend.String(o.s.Info().Backend), traceOutcome.String(string(outcome)))
	if err != nil {
		code := errorCode(err)
		if errors.Is(err, ErrAudit) {
			code = "audit" // takes precedence over other errors
		}
		o.SetAttributes(traceError.String(code))
		o.SetStatus(otelcodes.Error, code)
	}
	return err
}
