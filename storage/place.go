package storage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// ErrMoved means that the store does not live in this database: it was moved elsewhere,
// or a move to this one was not finished.
var ErrMoved = errors.New("storage: the store does not live in this database")

// PlaceNamespace holds the one record of a database that says whether a store lives
// there. It belongs to the database, not to the store: a move does not copy it.
const PlaceNamespace = "doorward place"

var placeKey = Key{Namespace: PlaceNamespace, Kind: "place", ID: "this"}

// PlaceState says what a database is to the store in it.
type PlaceState string

const (
	// PlaceHome is where the store lives. A database that was never moved says nothing,
	// which means the same.
	PlaceHome PlaceState = "home"
	// PlaceCopying is a copy that is not whole.
	PlaceCopying PlaceState = "copying"
	// PlaceCopied is a whole copy that becomes the home when the place that it was copied
	// from says PlaceLeft.
	PlaceCopied PlaceState = "copied"
	// PlaceLeft is where the store has lived: it was moved away, and what is left is old.
	PlaceLeft PlaceState = "left"
)

// Place is what a database says about the store in it. Package moving writes it, and Open
// refuses with ErrMoved what is no home.
type Place struct {
	Store string     `json:"store"`           // random, the same in every place of one store
	State PlaceState `json:"state"`           //
	Other string     `json:"other,omitempty"` // left: where it lives; else where it was copied from; for messages
	At    time.Time  `json:"at"`
}

// PlaceOf reads the Place of a database. The Revision is 0 when it says nothing.
func PlaceOf(ctx context.Context, b Backend) (p Place, at Revision, err error) {
	found, err := b.Get(ctx, placeKey)
	if err != nil {
		return p, 0, fmt.Errorf("storage: read whether the store lives here: %w", err)
	}
	if found[0].Revision == 0 {
		return p, 0, nil
	}
	if err := json.Unmarshal(found[0].Value, &p); err != nil {
		return p, 0, fmt.Errorf("%w: where the store lives: %w", ErrDamaged, err)
	}
	return p, found[0].Revision, nil
}

// SetPlace writes the Place of a database over the one read at a revision; a zero Place
// takes it away. p.At is the time of the commit.
func SetPlace(ctx context.Context, b Backend, p Place, over Revision) error {
	op := Op{Action: ActionPut, Key: placeKey, If: At(over)}
	if p.State == "" {
		op.Action = ActionDelete
	} else {
		value, err := json.Marshal(p)
		if err != nil {
			return err
		}
		op.Value = value
	}
	if err := b.Apply(ctx, Batch{Now: p.At, Ops: []Op{op}}); err != nil {
		return fmt.Errorf("storage: write whether the store lives here: %w", err)
	}
	return nil
}

// checkPlace refuses a database that is not the store's home.
func (s *Store) checkPlace(ctx context.Context) error {
	p, at, err := PlaceOf(ctx, s.backend)
	if err != nil {
		return err
	}
	s.placeRead = at
	switch on := p.At.UTC().Format(time.RFC3339); {
	case at == 0 || p.State == PlaceHome:
		return nil
	case p.State == PlaceLeft:
		return fmt.Errorf("%w: on %s it was moved to %s, and what is here is old: name that one in the configuration", ErrMoved, on, p.Other)
	case p.State == PlaceCopied:
		return fmt.Errorf("%w: it is a whole copy of %s, made on %s, but the last step of the move is not recorded: run the move again, it will only finish it", ErrMoved, p.Other, on)
	default:
		return fmt.Errorf("%w: it is an unfinished copy of %s, begun on %s: run the move again to finish it, or go on with the place that is copied", ErrMoved, p.Other, on)
	}
}

// CheckSecrets says whether a database whose data keys are those of b would open with
// these secrets, or by the KeyWrapper and the former one, in every namespace. The error of one that would not is
// ErrInvalid.
func CheckSecrets(ctx context.Context, b Backend, secrets [][]byte, services ...KeyWrapper) error {
	if err := checkSecrets(secrets); err != nil {
		return err
	}
	census, ok := As[Census](b)
	if !ok {
		return fmt.Errorf("%w: this backend can't list what it holds", ErrInvalid)
	}
	tallies, err := census.Count(ctx, time.Time{})
	if err != nil {
		return err
	}
	k := &keeping{secrets: secrets}
	switch len(services) {
	case 0:
	case 1:
		k.service = services[0]
	default:
		k.service, k.former = services[0], services[1]
	}
	for _, t := range tallies {
		if t.Kind != envelopeKind {
			continue
		}
		s := &Store{backend: b, namespace: t.Namespace, keeping: k}
		record, err := s.readEnvelope(ctx)
		if err != nil || record.Revision == 0 {
			return err
		}
		if _, err := s.openKeys(ctx, record); err != nil {
			return fmt.Errorf("%w (of %s)", err, t.Namespace)
		}
	}
	return nil
}
