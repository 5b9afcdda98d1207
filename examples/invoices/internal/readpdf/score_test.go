package readpdf

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The files of testdata were printed by Chromium from the pages next to them:
//
//	chromium --headless --no-pdf-header-footer --print-to-pdf=NAME.pdf NAME.html
//
// expected.tsv lists the details of each file; "-" means uncertain.
func TestScore(t *testing.T) {
	table, err := os.ReadFile("testdata/expected.tsv")
	if err != nil {
		t.Fatal(err)
	}
	var right, refused, wrong, could int
	for line := range strings.Lines(string(table)) {
		want := strings.Split(strings.TrimSpace(line), "\t")
		if want[0] == "file" {
			continue
		}
		content, err := os.ReadFile(filepath.Join("testdata", want[0]+".pdf"))
		if err != nil {
			t.Fatal(err)
		}
		d, unclear, err := Read(content)
		if refusal := (*RefusalError)(nil); err != nil && !errors.As(err, &refusal) {
			t.Errorf("%s: %v", want[0], err)
		}
		got := []string{d.Number, d.Date, d.Total, d.Currency}
		full := d.Number != "" && d.Date != "" && d.Total != "" && d.Currency != ""
		if full != (err == nil && len(unclear) == 0) {
			t.Errorf("%s: %q, with the reasons %q: a detail is missing without a reason, or the reverse", want[0], got, unclear)
		}
		if want[1] != "-" {
			could++
		}
		switch {
		case !full:
			refused++
			if want[1] != "-" {
				wrong += wrongOf(t, got, want)
				t.Logf("%s: refused: %q %v", want[0], unclear, err)
			}
		case strings.Join(got, "\t") == strings.Join(want[1:], "\t"):
			right++
		default:
			wrong++
			t.Errorf("%s: read %q, want %q", want[0], got, want[1:])
		}
	}
	t.Logf("right %d of %d that can be read, refused %d, wrong %d", right, could, refused, wrong)
	if right < could*9/10 {
		t.Errorf("only %d of %d were read", right, could)
	}
}

// wrongOf counts the wrong details of a refused file, because a form shows
// them.
func wrongOf(t *testing.T, got, want []string) (wrong int) {
	t.Helper()
	for i, g := range got {
		if g != "" && g != want[i+1] {
			wrong++
			t.Errorf("%s: found %q, want %q", want[0], got, want[1:])
		}
	}
	return wrong
}
