// Package audit is the vocabulary of the trail: who did what to which file,
// from where, when, and how it ended. It links the standard library only.
//
// An [Event] is what is about to happen or happened; an [Entry] is an event as
// stored. A [Logger] stores events. A [Journal] is a Logger that is also safe
// against crashes: an operation that changes a file first becomes a durable
// [Intent], then has its effect, then is settled by exactly one entry; what a
// killed process leaves behind is found by [Journal.Dangling] and settled by
// whoever reconciles.
//
//	begin (durable)  ->  effect  ->  settle (entry in, intent out, atomically)
//
// Operations that change no file (a download, a link) need no intent: their
// entry is durable before the first byte or the URL leaves.
//
// The [Actor] travels in the context, set once by a middleware. An operation
// without one is refused with [ErrNoActor].
//
// Implementations in this package: [Memory] for tests, [Slog] which writes to a
// log/slog handler, [Multi] which mirrors to several loggers, and [Discard]
// which opts out, visibly. Package sqlaudit is the one to use in production.
// [WriteCSV] and [WriteJSONL] export what a [Reader] gives.
package audit
