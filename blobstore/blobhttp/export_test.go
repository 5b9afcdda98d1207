package blobhttp

// What the tests outside of the package look at.

type Verdict struct {
	Constant string
	Status   int
}

// Verdicts returns all that can be answered, by code.
func Verdicts() map[string]Verdict {
	out := make(map[string]Verdict)
	for _, v := range verdicts {
		out[v.code] = Verdict{constants[v.code], v.status}
	}
	for _, v := range []verdict{slow, internal} {
		out[v.code] = Verdict{constants[v.code], v.status}
	}
	return out
}

var (
	ParseRange = parseRange
	Secure     = secure
	FileName   = fileName
)
