// Package findings gathers what a check finds wrong, without end when much is.
package findings

import (
	"fmt"
	"strings"
)

// most is how many findings are told in full. A damaged database has thousands, and
// the first few say what happened.
const most = 20

// List gathers findings. The zero List is empty.
type List struct {
	Is error // what the error of a list that is not empty is besides; nil: nothing

	kept []error
	more int
}

// Addf adds a finding in words.
func (l *List) Addf(format string, values ...any) { l.Add(fmt.Errorf(format, values...)) }

// Add adds a finding.
func (l *List) Add(err error) {
	if len(l.kept) == most {
		l.more++
		return
	}
	l.kept = append(l.kept, err)
}

// Err is all findings as one error, one a line; nil when there is none.
func (l *List) Err() error {
	if len(l.kept) == 0 {
		return nil
	}
	all := &found{all: l.kept[:len(l.kept):len(l.kept)], is: l.Is}
	if l.more > 0 {
		all.all = append(all.all, fmt.Errorf("and %d more", l.more))
	}
	return all
}

type found struct {
	all []error
	is  error
}

func (f *found) Error() string {
	lines := make([]string, len(f.all))
	for i, err := range f.all {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

func (f *found) Unwrap() []error {
	if f.is == nil {
		return f.all
	}
	return append(f.all[:len(f.all):len(f.all)], f.is)
}
