// Checkproof checks a proof of one entry, or an export of removed entries. It
// uses only package audit/proof.
//
//	go run ./examples/checkproof VERIFIER-KEY FILE
//
// Exit codes: 0 if the file is valid, 1 if it was changed, 2 if it cannot be
// checked, and 3 if it is an export without an end.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/blobtrail/blobtrail/audit/proof"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: checkproof VERIFIER-KEY FILE")
		os.Exit(2)
	}
	os.Exit(check(os.Args[1], os.Args[2]))
}

func check(key, name string) int {
	file, err := os.Open(name)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	var p proof.Proof
	if json.NewDecoder(file).Decode(&p) == nil && p.Version > 0 {
		entry, err := proof.Verify(&p, key)
		if err != nil {
			fmt.Println(err)
			return 1
		}
		fmt.Println("proven:", entry.OccurredAt, entry.Actor.UserID, entry.Action, entry.Outcome, entry.Key)
		return 0
	}
	_, err = file.Seek(0, io.SeekStart)
	report, errVerify := proof.VerifyExport(file, key)
	if err := errors.Join(err, errVerify); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	fmt.Println(report.Verdict, report.Entries, "entries", report.Findings, report.Remarks)
	return report.Verdict.ExitCode()
}
