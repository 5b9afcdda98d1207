package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/blobtrail/blobtrail/audit"
)

// printTrail prints the newest entries of the trail as a table.
func printTrail(ctx context.Context, out io.Writer, trail audit.Reader) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "WHEN\tWHO\tFROM\tWHAT\tOUTCOME\tKEY\tLINK")
	for e, err := range trail.Entries(ctx, audit.Query{NewestFirst: true, Limit: 12}) {
		if err != nil {
			return err
		}
		outcome := string(e.Outcome)
		if e.ErrorCode != "" {
			outcome += " (" + e.ErrorCode + ")"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n",
			e.OccurredAt.Local().Format(time.DateTime), cmp.Or(e.Actor.UserID, "(whoever has the link)"), e.Actor.IP,
			e.Action, outcome, shorten(e.Key, 44), shorten(e.GrantID, 8))
	}
	return w.Flush()
}

func shorten(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}
