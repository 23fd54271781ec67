package storagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/doorward/doorward/storage"
)

func lifecycleCases() []testCase {
	return []testCase{
		{"close/unavailable", "after Close every call is ErrUnavailable, and a second Close returns nil", checkClosed},
		{"close/under load", "Close waits for calls under way; each of them succeeds whole or is ErrUnavailable", checkCloseUnderLoad},
		{"clock witness", "LastCommit is the latest Now of the batches committed", checkLastCommit},
		{"secret keeper", "the kept secret has 32 bytes, stays the same and is the caller's copy", checkSecret},
	}
}

func checkClosed(ctx context.Context, b storage.Backend) error {
	if err := arrange(ctx, b, expiring(put("a", storage.Absent(), "v"), now)); err != nil {
		return err
	}
	for range 2 {
		if err := expect(b.Close(), nil, "Close, twice"); err != nil {
			return err
		}
	}
	outcomes := map[string]error{"Apply": apply(ctx, b, put("b", storage.Absent(), "v"))}
	_, outcomes["Get"] = b.Get(ctx, key("a"))
	_, outcomes["List"] = b.List(ctx, storage.Query{Namespace: namespace, Kind: kind, Limit: 1})
	_, outcomes["Sweep"] = b.Sweep(ctx, now, time.Second)
	if witness, ok := storage.As[storage.ClockWitness](b); ok {
		_, outcomes["LastCommit"] = witness.LastCommit(ctx)
	}
	if keeper, ok := storage.As[storage.SecretKeeper](b); ok {
		_, outcomes["Secret"] = keeper.Secret(ctx, false)
		_, outcomes["Secret with create"] = keeper.Secret(ctx, true)
	}
	var broken []error
	for doing, err := range outcomes {
		broken = append(broken, expect(err, storage.ErrUnavailable, doing+" after Close"))
	}
	return errors.Join(broken...)
}

func checkCloseUnderLoad(ctx context.Context, b storage.Backend) error {
	const callers, most = 16, 10_000
	return together(callers+1, func(i int) error {
		if i == callers {
			time.Sleep(5 * time.Millisecond) // let the others get under way
			return expect(b.Close(), nil, "Close under load")
		}
		for round := range most {
			var err error
			switch i % 4 {
			case 0, 1:
				err = apply(ctx, b, put(fmt.Sprintf("%d/%d", i, round), storage.Absent(), "v", entry("x", "1")))
			case 2:
				_, err = b.Get(ctx, key("a"), key("0/0"))
			case 3:
				_, err = b.List(ctx, storage.Query{Namespace: namespace, Kind: kind, Index: "x", Value: "1", Limit: 5})
			}
			if errors.Is(err, storage.ErrUnavailable) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("a call under way while the store was closed returned %w, want success or %q", err, storage.ErrUnavailable)
			}
		}
		return nil
	})
}

func checkLastCommit(ctx context.Context, b storage.Backend) error {
	witness, ok := storage.As[storage.ClockWitness](b)
	if !ok {
		return errNotOffered
	}
	steps := []struct {
		story string
		at    time.Time
		op    storage.Op
		fails bool
		want  time.Time
	}{
		{"a first commit", now, put("a", storage.Any(), "v"), false, now},
		{"a later commit", now.Add(time.Hour), put("a", storage.Any(), "v"), false, now.Add(time.Hour)},
		{"a commit with an earlier time", now, put("a", storage.Any(), "v"), false, now.Add(time.Hour)},
		{"a batch that failed", now.AddDate(1, 0, 0), put("a", storage.Absent(), "v"), true, now.Add(time.Hour)},
	}
	if at, err := witness.LastCommit(ctx); err != nil || !at.IsZero() {
		return fmt.Errorf("LastCommit of a new store is %v, error %v, want the zero time", at, err)
	}
	for _, s := range steps {
		if err := applyAt(ctx, b, s.at, s.op); (err != nil) != s.fails {
			return fmt.Errorf("%s returned error %v", s.story, err)
		}
		at, err := witness.LastCommit(ctx)
		if err != nil {
			return fmt.Errorf("LastCommit failed: %w", err)
		}
		if at.Sub(s.want).Abs() >= time.Millisecond {
			return fmt.Errorf("after %s LastCommit is %v, want %v", s.story, at, s.want)
		}
	}
	return nil
}

func checkSecret(ctx context.Context, b storage.Backend) error {
	keeper, ok := storage.As[storage.SecretKeeper](b)
	if !ok {
		return errNotOffered
	}
	secret, err := keeper.Secret(ctx, true)
	if err != nil {
		return fmt.Errorf("Secret could not be created: %w", err)
	}
	if len(secret) != 32 || bytes.Equal(secret, make([]byte, 32)) {
		return fmt.Errorf("the secret has %d bytes, want 32 random ones", len(secret))
	}
	kept := bytes.Clone(secret)
	clear(secret)
	for _, create := range []bool{false, true} {
		again, err := keeper.Secret(ctx, create)
		if err != nil {
			return fmt.Errorf("Secret failed though there is one: %w", err)
		}
		if !bytes.Equal(again, kept) {
			return errors.New("the kept secret changed, or " + sharedStory)
		}
	}
	return nil
}
