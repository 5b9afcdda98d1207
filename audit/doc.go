// Package audit records who did what to which file, from where, when, and with
// what outcome. It defines events, actors and journals, and imports only the
// standard library.
//
// An [Event] describes an operation. An [Entry] is a stored event. A [Logger]
// stores events. A [Journal] is a Logger with crash recovery: it records an
// operation that changes a file in three steps.
//
//	begin (durable)  ->  effect  ->  settle (entry in, intent out, atomically)
//
// Begin stores an [Intent]. After the effect, exactly one entry settles the
// intent. If the process is killed in between, the intent remains open.
// [Journal.Dangling] finds it, so that a reconciler can settle it.
//
// Operations that change no file need no intent. Examples are downloads and
// links: their entry is durable before the first byte or the URL leaves the
// process.
//
// The [Actor] travels in the context. Middleware sets it once. Stores refuse an
// operation without an actor with [ErrNoActor].
//
// In production, use the journal of package sqlaudit. This package has four
// implementations:
//
//   - [Memory] is a journal for tests.
//   - [Slog] is a logger that writes to a log/slog handler.
//   - [Multi] mirrors a trail to other loggers.
//   - [Discard] opts out of the trail explicitly.
//
// [WriteCSV] and [WriteJSONL] export the entries of a [Reader].
package audit
