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
	en := Entry{Event: e}
	columns := Columns()
	for i := range columns {
		c := &columns[i]
		switch c.Name {
		case "id", "writer_id", "seq", "created_at", "settled_by", "occurred_at": // of the entry, or the record's own time
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
