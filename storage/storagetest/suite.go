// Package storagetest is the suite that every storage.Backend must pass. It is
// the contract of package storage as policy: each case states one guarantee, and
// a failure says in words which guarantee broke and how.
//
//	func TestBackend(t *testing.T) {
//		storagetest.Run(t, func(t *testing.T) storage.Backend {
//			b, err := bolt.Open(filepath.Join(t.TempDir(), "test.db"))
//			if err != nil {
//				t.Fatal(err)
//			}
//			return b
//		})
//	}
//
// A backend that outlives its process runs RunDurable too.
package storagetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/doorward/doorward/storage"
)

// caseTimeout ends a case whose backend is stuck.
const caseTimeout = 2 * time.Minute

// testCase is one guarantee and the check that tries to break it. A check gets
// an empty backend and returns an error that says what broke.
type testCase struct {
	name      string
	guarantee string
	check     func(ctx context.Context, b storage.Backend) error
}

// errNotOffered is returned by the check of an optional interface that the
// backend does not implement.
var errNotOffered = errors.New("the backend does not implement this optional interface")

// cases returns the whole suite in the order of its topics.
func cases() []testCase {
	return slices.Concat(
		readCases(),
		conditionCases(),
		revisionCases(),
		batchCases(),
		counterCases(),
		singleUseCases(),
		concurrencyCases(),
		listCases(),
		pagingCases(),
		isolationCases(),
		expiryCases(),
		sweepCases(),
		copyCases(),
		limitCases(),
		cancelCases(),
		lifecycleCases(),
	)
}

// Run holds a backend to the contract of storage.Backend. open returns a fresh,
// empty backend each time it is called; Run closes it.
func Run(t *testing.T, open func(t *testing.T) storage.Backend) {
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) {
			err := c.run(t.Context(), open(t))
			if errors.Is(err, errNotOffered) {
				t.Skip(err)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// run carries out the check and closes the backend.
func (c testCase) run(ctx context.Context, b storage.Backend) error {
	ctx, cancel := context.WithTimeout(ctx, caseTimeout)
	defer cancel()
	err := c.check(ctx, b)
	if closing := b.Close(); closing != nil {
		err = errors.Join(err, fmt.Errorf("Close failed: %w", closing))
	}
	if err == nil || errors.Is(err, errNotOffered) {
		return err
	}
	return fmt.Errorf("broken guarantee: %s\n%w", c.guarantee, err)
}
