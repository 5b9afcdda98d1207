package audit

import (
	"context"
	"encoding/hex"
	"log/slog"
)

// Slog is a [Logger] that writes each event as one record of a log/slog logger.
// Use it for development, or together with a Journal in [Multi]. The handler
// determines how durable a record is; most handlers guarantee nothing. If the
// level of an event is disabled in the handler, the event is not written.
type Slog struct {
	Logger *slog.Logger // nil means slog.Default()
	Level  slog.Level   // level of events with outcome OK; other events have at least slog.LevelWarn
}

// Log implements [Logger]. It returns the error of the handler.
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
	// Call the handler directly, because slog.Logger drops its error.
	rec := slog.NewRecord(e.OccurredAt, level, "audit", 0)
	rec.AddAttrs(slog.Any("event", e))
	return h.Handle(ctx, rec)
}

// LogValue implements [slog.LogValuer]. It returns the fields that are set,
// under the names of the stored columns.
func (e Event) LogValue() slog.Value {
	attrs := make([]slog.Attr, 0, 20)
	en := Entry{Event: e}
	columns := Columns()
	for i := range columns {
		c := &columns[i]
		switch c.Name {
		case "id", "writer_id", "seq", "created_at", "settled_by", "occurred_at": // fields of the entry, or the record's own time
			continue
		case "details":
			var facts []any
			for name, text := range e.Details.All() {
				facts = append(facts, slog.String(name, text))
			}
			if facts != nil {
				attrs = append(attrs, slog.Group(c.Name, facts...))
			}
			continue
		case "attrs":
			if len(e.Attrs) > 0 {
				attrs = append(attrs, slog.Any(c.Name, e.Attrs))
			}
			continue
		}
		switch v := c.get(&en).(type) {
		case nil:
		case []byte:
			attrs = append(attrs, slog.String(c.Name, hex.EncodeToString(v)))
		default:
			attrs = append(attrs, slog.Any(c.Name, v))
		}
	}
	return slog.GroupValue(attrs...)
}
