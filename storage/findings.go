package storage

import (
	"fmt"
	"strings"
)

// mostFindings is how many findings are told in full. A damaged database has thousands, and
// the first few say what happened.
const mostFindings = 20

// Findings gathers what a check of stored records finds wrong, the check of a backend
// or that of the Store. The zero Findings are none.
type Findings struct {
	kept []error
	more int
}

// Addf adds a finding in words.
func (f *Findings) Addf(format string, values ...any) { f.Add(fmt.Errorf(format, values...)) }

// Add adds a finding.
func (f *Findings) Add(err error) {
	if len(f.kept) == mostFindings {
		f.more++
		return
	}
	f.kept = append(f.kept, err)
}

// Err is all findings as one error, one a line, that is ErrDamaged; nil when there is
// none.
func (f *Findings) Err() error {
	if len(f.kept) == 0 {
		return nil
	}
	all := &found{all: f.kept[:len(f.kept):len(f.kept)]}
	if f.more > 0 {
		all.all = append(all.all, fmt.Errorf("and %d more", f.more))
	}
	return all
}

type found struct{ all []error }

func (f *found) Error() string {
	lines := make([]string, len(f.all))
	for i, err := range f.all {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

func (f *found) Unwrap() []error {
	return append(f.all[:len(f.all):len(f.all)], ErrDamaged)
}
