package proof_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/blobtrail/blobtrail/audit/proof"
)

// An auditor checks a proof with a verifier key received long before.
func ExampleVerify() {
	text, err := os.ReadFile("testdata/proof.json")
	if err != nil {
		fmt.Println(err)
		return
	}
	var received struct {
		Key   string       `json:"deployment_key"`
		Proof *proof.Proof `json:"proof"`
	}
	if err := json.Unmarshal(text, &received); err != nil {
		fmt.Println(err)
		return
	}
	entry, err := proof.Verify(received.Proof, received.Key)
	fmt.Println(entry.OccurredAt.Year(), entry.Actor.UserID, entry.Action, entry.Outcome, entry.Key, err)

	// A proof without personal fields is valid too. A changed entry is not.
	received.Proof.Personal = nil
	entry, err = proof.Verify(received.Proof, received.Key)
	fmt.Printf("%q %v\n", entry.Actor.UserID, err)
	received.Proof.Entry = strings.Replace(received.Proof.Entry, "files/7", "files/8", 1)
	_, err = proof.Verify(received.Proof, received.Key)
	fmt.Println(err != nil)
	// Output:
	// 2026 u-1 upload ok files/7 <nil>
	// "" <nil>
	// true
}

// An auditor checks an archived export of entries removed from the trail.
func ExampleVerifyExport() {
	key, err := os.ReadFile("testdata/export.key")
	if err != nil {
		fmt.Println(err)
		return
	}
	export, err := os.Open("testdata/export.jsonl")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer export.Close()
	report, err := proof.VerifyExport(export, strings.TrimSpace(string(key)))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(report.Verdict, report.Entries, "entries")
	for _, log := range report.Streams {
		fmt.Printf("entries %d to %d of a writer on %q, certified by %s\n", log.First, log.Size-1, log.Origin, log.CertifiedBy)
	}
	// Output:
	// sound 12 entries
	// entries 0 to 7 of a writer on "host", certified by example.com/trail
	// entries 0 to 3 of a writer on "host", certified by example.com/trail
}
