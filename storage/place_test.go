package storage_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/memory"
)

func TestOpenRefusesWhatIsNoHome(t *testing.T) {
	b := memory.New()
	open := func() error {
		_, err := storage.Open(t.Context(), b, storage.Options{Namespace: "n"})
		return err
	}
	if err := open(); err != nil {
		t.Fatal(err)
	}
	var at storage.Revision
	for _, c := range []struct {
		state storage.PlaceState
		says  string // empty: it opens
	}{
		{storage.PlaceHome, ""}, {storage.PlaceLeft, "it was moved to elsewhere"}, {storage.PlaceCopying, "an unfinished copy of elsewhere"},
		{storage.PlaceCopied, "will only finish it"}, {"one of a newer release", "unfinished"}, {"", ""},
	} {
		p := storage.Place{Store: "s", State: c.state, Other: "elsewhere", At: time.Now()}
		if err := storage.SetPlace(t.Context(), b, p, at+1); !errors.Is(err, storage.ErrConflict) {
			t.Errorf("%q over a state that was not read: %v", c.state, err)
		}
		if err := storage.SetPlace(t.Context(), b, p, at); err != nil {
			t.Fatal(err)
		}
		found, now, err := storage.PlaceOf(t.Context(), b)
		if err != nil || found.State != c.state {
			t.Errorf("%q reads back as %q: %v", c.state, found.State, err)
		}
		at = now
		switch err := open(); {
		case c.says == "" && err != nil:
			t.Errorf("%q: %v", c.state, err)
		case c.says != "" && (!errors.Is(err, storage.ErrMoved) || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%q: %v", c.state, err)
		}
	}
	if _, err := storage.Open(t.Context(), b, storage.Options{Namespace: storage.PlaceNamespace}); !errors.Is(err, storage.ErrInvalid) {
		t.Errorf("a store in the place of the mark: %v", err)
	}
}

// overtaken is a database that a move begins to copy to just when a store is made there.
type overtaken struct{ *memory.Backend }

func (o overtaken) Apply(ctx context.Context, b storage.Batch) error {
	p := storage.Place{Store: "another", State: storage.PlaceCopying, At: b.Now}
	if err := storage.SetPlace(ctx, o.Backend, p, 0); err != nil && !errors.Is(err, storage.ErrConflict) {
		return err
	}
	return o.Backend.Apply(ctx, b)
}

func TestNoStoreBeginsInAnUnfinishedCopy(t *testing.T) {
	b := overtaken{memory.New()}
	if _, err := storage.Open(t.Context(), b, storage.Options{Namespace: "n"}); err == nil {
		t.Error("a store began where a move had begun")
	}
	tallies, err := b.Count(t.Context(), time.Now())
	if err != nil || len(tallies) != 1 || tallies[0].Namespace != storage.PlaceNamespace {
		t.Errorf("there is %+v: %v", tallies, err)
	}
}
