package config

import (
	"slices"
	"strings"
)

// ownPrefixes are the prefixes of variables that only this package reads.
// AZURE_ alone is missing, because Azure's SDK has many such variables.
var ownPrefixes = []string{"STORAGE_", "LOCAL_STORAGE_", "S3_", "AZURE_STORAGE_", "AZURE_CONTAINER_", "GCS_", "SIGNED_URL_", "LINK_", "AUDIT_", "MAX_UPLOAD_"}

// unknown returns the sorted names of set variables that may be misspelled
// names of known ones.
func unknown(environ map[string]string, known []variable) []string {
	var names []string
	for name, value := range environ {
		isKnown := func(v variable) bool { return v.name == name }
		if value != "" && !slices.ContainsFunc(known, isKnown) && resembles(name, known) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func resembles(name string, known []variable) bool {
	upper := strings.ToUpper(name)
	for _, prefix := range ownPrefixes {
		if strings.HasPrefix(upper, prefix) {
			return true
		}
	}
	for _, v := range known {
		most := 2
		if len(v.name) < 9 { // APP_ENV: two letters match too many names
			most = 1
		}
		if edits(upper, v.name, most) <= most {
			return true
		}
	}
	return false
}

// edits returns the number of letters to insert, remove, replace or swap with
// their neighbor to convert a to b, or a number greater than most.
func edits(a, b string, most int) int {
	if len(a)-len(b) > most || len(b)-len(a) > most {
		return most + 1
	}
	before, last := []int(nil), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			replaced := last[j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			row[j] = min(last[j]+1, row[j-1]+1, replaced)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
