package audit

import (
	"context"
	"encoding/hex"
	"log/slog"
)

// Slog is a [Logger] that writes each event as one record of a log/slog logger:
// for development, or beside a Journal in [Multi]. How durable a record is, is
// up to the handler; most promise nothing. As with any log record, an event at
// a level that the handler has switched off is not written.
type Slog struct {
	Logger *slog.Logger // nil means slog.Default()
	Level  slog.Level   // of events that ended OK; others are logged at Warn or Level, whichever is higher
}

// Log implements [Logger]. It fails when the handler does.
func (s Slog) Log(ctx context.Context, e Event) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	e, err := PrepareLog(ctx, e)
	if err != nil {
		return err
	}
	level := s.Level
	if e.Outcome != OutcomeOK && e.Outcome != OutcomeBegun {
		level = max(level, slog.LevelWarn)
	}
	logger := s.Logger
	if logger == nil {
		logger = slog.Default()
	}
	h := logger.Handler()
	if !h.Enabled(ctx, level) {
		return nil
	}
	// The handler is called directly because slog.Logger drops its error.
	rec := slog.NewRecord(e.OccurredAt, level, "audit", 0)
	rec.AddAttrs(slog.Any("event", e))
	return h.Handle(ctx, rec)
}

// LogValue implements [slog.LogValuer]: the fields that are set, under the
// names of the stored columns.
func (e Event) LogValue() slog.Value {
	attrs := make([]slog.Attr, 0, 20)
	text := func(name, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(name, value))
		}
	}
	text("op_id", e.OpID)
	text("ref_op_id", e.RefOpID)
	text("action", string(e.Action))
	text("outcome", string(e.Outcome))
	text("user_id", e.Actor.UserID)
	text("tenant_id", e.Actor.TenantID)
	text("ip_address", e.Actor.IP)
	text("user_agent", e.Actor.UserAgent)
	text("request_id", e.Actor.RequestID)
	text("resource_type", e.Resource.Type)
	text("resource_id", e.Resource.ID)
	text("file_key", e.Key)
	text("storage_backend", e.Backend)
	text("bucket", e.Bucket)
	text("grant_id", e.GrantID)
	if e.Size != nil {
		attrs = append(attrs, slog.Int64("size", *e.Size))
	}
	if e.SHA256 != nil {
		attrs = append(attrs, slog.String("sha256", hex.EncodeToString(e.SHA256)))
	}
	text("content_type", e.ContentType)
	text("error_code", e.ErrorCode)
	if len(e.Attrs) > 0 {
		attrs = append(attrs, slog.Any("attrs", e.Attrs))
	}
	return slog.GroupValue(attrs...)
}
