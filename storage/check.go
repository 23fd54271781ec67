package storage

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Census is implemented by a Backend that can count what it holds.
type Census interface {
	// Count returns one Tally for each kind of each namespace that has records, in
	// the order of both. It reads every record, so it is for operators and for
	// checks, not for requests.
	Count(ctx context.Context, now time.Time) ([]Tally, error)
}

// Tally counts the records of one kind.
type Tally struct {
	Namespace string `json:"namespace"`
	Kind      string `json:"kind"`
	Live      int    `json:"live"`
	Expired   int    `json:"expired"` // and not swept yet
	Bytes     int64  `json:"bytes"`   // of keys, values, index entries and expiries
}

// Check opens every record of the Store's namespace, expired ones included, and
// returns how many there are. The error lists, one a line, what did not open; it is
// ErrDamaged then. Records that change meanwhile are seen as they were or as they
// are. The Backend must be a Census.
func (s *Store) Check(ctx context.Context) (records int, err error) {
	census, ok := As[Census](s.backend)
	if !ok {
		return 0, fmt.Errorf("%w: this backend can't list what it holds", ErrInvalid)
	}
	tallies, err := census.Count(ctx, s.Now())
	if err != nil {
		return 0, unavailable(err)
	}
	var found Findings
	for _, t := range tallies {
		// The envelope is sealed by the secret and was opened when the Store was.
		if t.Namespace != s.namespace || t.Kind == envelopeKind {
			continue
		}
		n, err := s.checkKind(ctx, t.Kind, &found)
		if err != nil {
			return records, err
		}
		records += n
	}
	return records, found.Err()
}

func (s *Store) checkKind(ctx context.Context, kind string, found *Findings) (records int, err error) {
	for after := ""; ; {
		page, err := s.backend.List(ctx, Query{Namespace: s.namespace, Kind: kind, After: after, Limit: MaxPage})
		if err != nil {
			return records, unavailable(err)
		}
		for i := range page {
			if err := s.checkRecord(ctx, &page[i]); err != nil {
				found.Add(err)
			}
		}
		records += len(page)
		if len(page) < MaxPage {
			return records, nil
		}
		after = page[len(page)-1].ID
	}
}

func (s *Store) checkRecord(ctx context.Context, r *Record) error {
	if unsealed(r) {
		return nil
	}
	_, plain, err := s.open(ctx, r)
	if err != nil {
		return fmt.Errorf("%w with the key %q", err, r.ID)
	}
	if !json.Valid(plain) {
		return fmt.Errorf("%w: a %s record with the key %q: it is sealed, but is no JSON", ErrDamaged, r.Kind, r.ID)
	}
	return nil
}

// unsealed says that a record is a counter: the backend adds it up, so it is not sealed,
// and a sealed value is longer.
func unsealed(r *Record) bool { return len(r.Value) == len(CounterValue(0)) }
