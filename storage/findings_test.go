package storage_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/doorward/doorward/storage"
)

func TestFindings(t *testing.T) {
	var f storage.Findings
	if err := f.Err(); err != nil {
		t.Errorf("an empty list is %v", err)
	}
	cause := errors.New("cause")
	f.Addf("first: %w", cause)
	for range 30 {
		f.Addf("another")
	}
	err := f.Err()
	if !errors.Is(err, cause) || !errors.Is(err, storage.ErrDamaged) {
		t.Errorf("%v does not hold its cause, or is not ErrDamaged", err)
	}
	if lines := strings.Split(err.Error(), "\n"); len(lines) != 21 || lines[0] != "first: cause" || lines[20] != "and 11 more" {
		t.Errorf("%d lines:\n%v", len(lines), err)
	}
}
