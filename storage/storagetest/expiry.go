package storagetest

import (
	"context"
	"fmt"
	"time"

	"github.com/doorward/doorward/storage"
)

func expiryCases() []testCase {
	return []testCase{
		{"expiry/millisecond", "expiry is kept to the millisecond and is never later than asked", checkMillisecond},
		{"expiry/boundary", "a record lives up to, not including, its expiry", checkBoundary},
		{"expiry/get", "Get returns an expired record until it is swept", checkGetExpired},
		{"expiry/recreate", "an expired record counts as absent to Apply, and what is written over it is new in every part", checkRecreateExpired},
	}
}

func checkMillisecond(ctx context.Context, b storage.Backend) error {
	east := time.FixedZone("east", 5*3600)
	for i, expiry := range []time.Time{
		now, now.Add(time.Millisecond), now.Add(999_999 * time.Nanosecond), now.Add(time.Microsecond),
		now.In(east), now.AddDate(100, 0, 0), {},
	} {
		if err := arrange(ctx, b, expiring(put("a", storage.Any(), "v"), expiry), add("n", 1, 0, expiry)); err != nil {
			return err
		}
		found, err := getAll(ctx, b, key("a"), key("n"))
		if err != nil {
			return err
		}
		want := expiry
		if !expiry.IsZero() {
			want = time.UnixMilli(expiry.UnixMilli())
		}
		for _, r := range found {
			if !r.Expiry.Equal(want) || r.Expiry.IsZero() != want.IsZero() {
				return fmt.Errorf("expiry %d, %v, came back as %v, want %v", i, expiry, r.Expiry, want)
			}
		}
		if err := arrange(ctx, b, remove("n", storage.Any())); err != nil {
			return err
		}
	}
	return nil
}

func checkBoundary(ctx context.Context, b storage.Backend) error {
	end := now.Add(time.Minute)
	if err := arrange(ctx, b, expiring(put("a", storage.Absent(), "v"), end)); err != nil {
		return err
	}
	r, err := get(ctx, b, "a")
	if err != nil {
		return err
	}
	last := end.Add(-time.Millisecond)
	for _, step := range []struct {
		doing string
		at    time.Time
		op    storage.Op
		want  error
	}{
		{"Check at its revision a millisecond before expiry", last, check("a", storage.At(r.Revision)), nil},
		{"Check for absence a millisecond before expiry", last, check("a", storage.Absent()), storage.ErrConflict},
		{"Check at its revision at expiry", end, check("a", storage.At(r.Revision)), storage.ErrConflict},
		{"Check for absence at expiry (an expired record still conflicts with Absent)", end, check("a", storage.Absent()), nil},
		{"Put at its revision at expiry", end, put("a", storage.At(r.Revision), "w"), storage.ErrConflict},
		{"Delete at its revision at expiry", end, remove("a", storage.At(r.Revision)), storage.ErrConflict},
		{"Check for absence far after expiry", end.AddDate(1, 0, 0), check("a", storage.Absent()), nil},
	} {
		if err := expect(applyAt(ctx, b, step.at, step.op), step.want, step.doing); err != nil {
			return err
		}
	}
	return nil
}

func checkGetExpired(ctx context.Context, b storage.Backend) error {
	end := now.AddDate(-1, 0, 0)
	if err := arrange(ctx, b, expiring(put("a", storage.Absent(), "v"), end)); err != nil {
		return err
	}
	r, err := get(ctx, b, "a")
	if err != nil {
		return err
	}
	if r.Revision == 0 || string(r.Value) != "v" || !r.Expiry.Equal(end) {
		return fmt.Errorf("an expired record came back as %q at revision %d: judging expiry is the caller's", r.Value, r.Revision)
	}
	return nil
}

func checkRecreateExpired(ctx context.Context, b storage.Backend) error {
	old := expiring(put("a", storage.Absent(), "old", entry("x", "old")), now)
	if err := arrange(ctx, b, old); err != nil {
		return err
	}
	before, err := get(ctx, b, "a")
	if err != nil {
		return err
	}
	if err := apply(ctx, b, put("a", storage.Absent(), "new", entry("x", "new"))); err != nil {
		return fmt.Errorf("an expired record still conflicts with Absent: %w", err)
	}
	r, err := get(ctx, b, "a")
	if err != nil {
		return err
	}
	want := storage.Record{Key: key("a"), Revision: r.Revision, Index: []storage.Index{entry("x", "new")}, Value: []byte("new")}
	if diff := different(r, want); diff != "" {
		return fmt.Errorf("a record written over an expired one: %s", diff)
	}
	if r.Revision <= before.Revision {
		return fmt.Errorf("a record written over an expired one has revision %d, the expired one had %d", r.Revision, before.Revision)
	}
	if err := expectList(ctx, b, storage.Query{Index: "x", Value: "old"}, nil, "the expired record's index entry was left behind"); err != nil {
		return err
	}
	if _, err := sweepAll(ctx, b, now.Add(time.Hour)); err != nil {
		return err
	}
	return expectValue(ctx, b, "a", "new", "the sweep took a record for the expired one that it replaced")
}
