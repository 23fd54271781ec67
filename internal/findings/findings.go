// Package findings gathers what a check finds wrong, without end when much is.
package findings

import (
	"errors"
	"fmt"
)

// most is how many findings are told in full. A damaged database has thousands, and
// the first few say what happened.
const most = 20

// List gathers findings. The zero List is empty.
type List struct {
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
	if l.more > 0 {
		return errors.Join(append(l.kept[:most:most], fmt.Errorf("and %d more", l.more))...)
	}
	return errors.Join(l.kept...)
}
