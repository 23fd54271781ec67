package storagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/doorward/doorward/storage"
)

// reopener opens the same store again and again, each time after it was closed.
type reopener func() storage.Backend

type durableCase struct {
	name      string
	guarantee string
	check     func(ctx context.Context, open reopener) error
}

func durableCases() []durableCase {
	return []durableCase{
		{"records", "what was acknowledged is there after a restart: records, index entries, counters, and the absence of what was deleted", checkDurableRecords},
		{"revisions", "revisions go on growing after a restart, also past those of deleted records", checkDurableRevisions},
		{"sweep", "what expired before or after a restart is swept after it", checkDurableSweep},
		{"close under load", "a batch acknowledged while the store was being closed is there after a restart, one refused is not", checkDurableClose},
		{"clock witness", "LastCommit outlives a restart", checkDurableLastCommit},
		{"secret keeper", "the kept secret outlives a restart and is never replaced", checkDurableSecret},
	}
}

// RunDurable holds a backend that outlives its process to what that promises. It
// calls place once for each case, for a new and empty place to store in; the
// function that place returns opens the store there, at first and again after
// each Close.
//
//	storagetest.RunDurable(t, func(t *testing.T) func(*testing.T) storage.Backend {
//		file := filepath.Join(t.TempDir(), "test.db")
//		return func(t *testing.T) storage.Backend { return open(t, file) }
//	})
func RunDurable(t *testing.T, place func(t *testing.T) (open func(t *testing.T) storage.Backend)) {
	for _, c := range durableCases() {
		t.Run(c.name, func(t *testing.T) {
			open := place(t)
			err := c.run(t.Context(), func() storage.Backend { return open(t) })
			if errors.Is(err, errNotOffered) {
				t.Skip(err)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
}

func (c durableCase) run(ctx context.Context, open reopener) error {
	ctx, cancel := context.WithTimeout(ctx, caseTimeout)
	defer cancel()
	err := c.check(ctx, open)
	if err == nil || errors.Is(err, errNotOffered) {
		return err
	}
	return fmt.Errorf("broken guarantee: %s\n%w", c.guarantee, err)
}

// session opens the store, lets do work on it and closes it.
func (open reopener) session(do func(b storage.Backend) error) error {
	b := open()
	err := do(b)
	if closing := b.Close(); closing != nil {
		err = errors.Join(err, fmt.Errorf("Close failed: %w", closing))
	}
	return err
}

func checkDurableRecords(ctx context.Context, open reopener) error {
	const records = 200
	keys := []storage.Key{key("counter")}
	for i := range records {
		keys = append(keys, key(fmt.Sprint(i)))
	}
	var written []storage.Record
	err := open.session(func(b storage.Backend) error {
		err := together(records, func(i int) error {
			id := fmt.Sprint(i)
			op := expiring(put(id, storage.Absent(), "v "+id, entry("third", fmt.Sprint(i%3))), now.Add(time.Hour))
			if err := apply(ctx, b, op, add("counter", 1, 0, time.Time{})); err != nil {
				return fmt.Errorf("a plain write failed: %w", err)
			}
			if i%5 == 0 {
				return apply(ctx, b, remove(id, storage.Any()))
			}
			return nil
		})
		if err != nil {
			return err
		}
		written, err = getAll(ctx, b, keys...)
		return err
	})
	if err != nil {
		return err
	}
	for restart := range 2 {
		err := open.session(func(b storage.Backend) error {
			found, err := getAll(ctx, b, keys...)
			if err != nil {
				return err
			}
			for i := range found {
				if diff := different(found[i], written[i]); diff != "" {
					return fmt.Errorf("after restart %d record %q is not what was acknowledged: %s", restart+1, keys[i].ID, diff)
				}
			}
			for third := range 3 {
				var want []string
				for i := range records {
					if i%3 == third && i%5 != 0 {
						want = append(want, fmt.Sprint(i))
					}
				}
				q := storage.Query{Index: "third", Value: fmt.Sprint(third)}
				if err := expectList(ctx, b, q, want, "an index after a restart"); err != nil {
					return err
				}
			}
			return expectCount(ctx, b, "counter", records, "after a restart")
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func checkDurableRevisions(ctx context.Context, open reopener) error {
	var last storage.Revision
	for restart := range 4 {
		err := open.session(func(b storage.Backend) error {
			for range 3 {
				if err := arrange(ctx, b, put("a", storage.Absent(), "v")); err != nil {
					return err
				}
				r, err := get(ctx, b, "a")
				if err != nil {
					return err
				}
				if r.Revision <= last {
					return fmt.Errorf("a revision was used again: after restart %d a new record has revision %d, an earlier one had %d", restart, r.Revision, last)
				}
				last = r.Revision
				// The newest revision is gone when the store closes.
				if err := arrange(ctx, b, remove("a", storage.At(r.Revision))); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func checkDurableSweep(ctx context.Context, open reopener) error {
	err := open.session(func(b storage.Backend) error {
		return arrange(ctx, b,
			expiring(put("gone", storage.Absent(), "v", entry("x", "1")), now),
			expiring(put("soon", storage.Absent(), "v", entry("x", "1")), now.Add(time.Hour)),
			expiring(put("renewed", storage.Absent(), "v", entry("x", "1")), now))
	})
	if err != nil {
		return err
	}
	return open.session(func(b storage.Backend) error {
		if err := arrange(ctx, b, put("renewed", storage.Any(), "v", entry("x", "1"))); err != nil {
			return err
		}
		for _, step := range []struct {
			at   time.Time
			want []string
		}{{now, []string{"renewed", "soon"}}, {now.Add(time.Hour), []string{"renewed"}}} {
			if n, err := sweepAll(ctx, b, step.at); n != 1 || err != nil {
				return fmt.Errorf("a sweep after a restart deleted %d records, want 1, error %v", n, err)
			}
			if err := expectList(ctx, b, storage.Query{Index: "x", Value: "1"}, step.want, "after a restart and a sweep"); err != nil {
				return err
			}
		}
		return nil
	})
}

// checkDurableClose closes the store while many write to it.
func checkDurableClose(ctx context.Context, open reopener) error {
	const callers, most = 32, 2000
	outcomes := make([][]error, callers)
	id := func(i, n int) string { return fmt.Sprintf("%02d/%d", i, n) }
	b := open()
	err := together(callers+1, func(i int) error {
		if i == callers {
			time.Sleep(10 * time.Millisecond) // let the others get under way
			return expect(b.Close(), nil, "Close under load")
		}
		for n := range most {
			err := apply(ctx, b, put(id(i, n), storage.Absent(), "v", entry("caller", fmt.Sprint(i))))
			outcomes[i] = append(outcomes[i], err)
			if err != nil {
				break
			}
		}
		return nil //nolint:nilerr // what came of each is judged later
	})
	if err != nil {
		return err
	}
	return open.session(func(b storage.Backend) error {
		for i := range callers {
			for n, outcome := range outcomes[i] {
				r, err := get(ctx, b, id(i, n))
				switch {
				case err != nil:
					return err
				case errors.Is(outcome, storage.ErrUnknown):
				case outcome == nil && r.Revision == 0:
					return errors.New("a batch that was acknowledged is not there after a restart")
				case outcome != nil && r.Revision != 0:
					return fmt.Errorf("a batch is there after a restart though its caller was told %q", outcome)
				}
			}
		}
		return nil
	})
}

func checkDurableLastCommit(ctx context.Context, open reopener) error {
	steps := []time.Time{now.Add(time.Hour), now} // the later of the two is to be remembered
	for _, at := range steps {
		err := open.session(func(b storage.Backend) error {
			if _, ok := storage.As[storage.ClockWitness](b); !ok {
				return errNotOffered
			}
			return applyAt(ctx, b, at, put("a", storage.Any(), "v"))
		})
		if err != nil {
			return err
		}
	}
	return open.session(func(b storage.Backend) error {
		witness, ok := storage.As[storage.ClockWitness](b)
		if !ok {
			return errNotOffered
		}
		at, err := witness.LastCommit(ctx)
		if err == nil && at.Sub(steps[0]).Abs() >= time.Millisecond {
			err = fmt.Errorf("after a restart LastCommit is %v, want %v", at, steps[0])
		}
		return err
	})
}

func checkDurableSecret(ctx context.Context, open reopener) error {
	var kept []byte
	for _, create := range []bool{true, false, true} {
		err := open.session(func(b storage.Backend) error {
			keeper, ok := storage.As[storage.SecretKeeper](b)
			if !ok {
				return errNotOffered
			}
			secret, err := keeper.Secret(ctx, create)
			if err != nil {
				return fmt.Errorf("Secret failed: %w", err)
			}
			if kept != nil && !bytes.Equal(secret, kept) {
				return errors.New("the kept secret is another one after a restart")
			}
			kept = secret
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
