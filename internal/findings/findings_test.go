package findings_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/doorward/doorward/internal/findings"
)

func TestList(t *testing.T) {
	var l findings.List
	if err := l.Err(); err != nil {
		t.Errorf("an empty list is %v", err)
	}
	cause, kind := errors.New("cause"), errors.New("kind")
	l.Is = kind
	l.Addf("first: %w", cause)
	for range 30 {
		l.Addf("another")
	}
	err := l.Err()
	if !errors.Is(err, cause) || !errors.Is(err, kind) {
		t.Errorf("%v does not hold its cause, or is not of its kind", err)
	}
	if lines := strings.Split(err.Error(), "\n"); len(lines) != 21 || lines[0] != "first: cause" || lines[20] != "and 11 more" {
		t.Errorf("%d lines:\n%v", len(lines), err)
	}
}
