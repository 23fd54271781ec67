package storagetest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/doorward/doorward/storage"
)

// Codes, refresh tokens and request objects are used once because a state change
// at one revision has one winner. These cases are the ground that rests on.
func singleUseCases() []testCase {
	return []testCase{
		{"single use/create", "of parallel creates of one record exactly one succeeds", checkOneCreate},
		{"single use/put", "of parallel Puts at one revision exactly one succeeds", checkOnePut},
		{"single use/delete", "of parallel Deletes at one revision exactly one succeeds", checkOneDelete},
		{"single use/mixed", "of parallel Puts and Deletes at one revision, each with an insert beside it, exactly one succeeds, and only its insert is there", checkOneMixed},
	}
}

const (
	contestRounds  = 100
	contestCallers = 20
	crowd          = 64
)

// contest lets callers run at one moment and counts those that did not conflict.
func contest(callers int, do func(i int) error) (winners int64, err error) {
	var won atomic.Int64
	err = together(callers, func(i int) error {
		err := do(i)
		if err == nil {
			won.Add(1)
		} else if !errors.Is(err, storage.ErrConflict) {
			return fmt.Errorf("a caller that lost got %w, want %q", err, storage.ErrConflict)
		}
		return nil
	})
	return won.Load(), err
}

func checkOneCreate(ctx context.Context, b storage.Backend) error {
	return manyContests(func(id string, callers int) error {
		won, err := contest(callers, func(i int) error {
			return apply(ctx, b, put(id, storage.Absent(), fmt.Sprint(i)))
		})
		if err == nil && won != 1 {
			err = fmt.Errorf("a record was created %d times under %d parallel creates", won, callers)
		}
		return err
	})
}

func checkOnePut(ctx context.Context, b storage.Backend) error {
	return manyContests(func(id string, callers int) error {
		at, err := arrangeContest(ctx, b, id)
		if err != nil {
			return err
		}
		won, err := contest(callers, func(i int) error {
			return apply(ctx, b, put(id, storage.At(at), fmt.Sprint(i)))
		})
		if err == nil && won != 1 {
			err = fmt.Errorf("a record was changed %d times from one revision under %d parallel Puts", won, callers)
		}
		return err
	})
}

func checkOneDelete(ctx context.Context, b storage.Backend) error {
	return manyContests(func(id string, callers int) error {
		at, err := arrangeContest(ctx, b, id)
		if err != nil {
			return err
		}
		won, err := contest(callers, func(int) error {
			return apply(ctx, b, remove(id, storage.At(at)))
		})
		if err == nil && won != 1 {
			err = fmt.Errorf("a record was used up %d times under %d parallel Deletes", won, callers)
		}
		return err
	})
}

func checkOneMixed(ctx context.Context, b storage.Backend) error {
	return manyContests(func(id string, callers int) error {
		at, err := arrangeContest(ctx, b, id)
		if err != nil {
			return err
		}
		token := func(i int) string { return fmt.Sprintf("%s, token %d", id, i) }
		won, err := contest(callers, func(i int) error {
			use := put(id, storage.At(at), fmt.Sprint(i))
			if i%2 == 1 {
				use = remove(id, storage.At(at))
			}
			// The insert sorts and stands on either side of the contested record.
			if i%4 < 2 {
				return apply(ctx, b, use, put(token(i), storage.Absent(), "issued"))
			}
			return apply(ctx, b, put(token(i), storage.Absent(), "issued"), use)
		})
		if err != nil {
			return err
		}
		keys := make([]storage.Key, callers)
		for i := range keys {
			keys[i] = key(token(i))
		}
		found, err := getAll(ctx, b, keys...)
		if err != nil {
			return err
		}
		issued := 0
		for _, r := range found {
			if r.Revision != 0 {
				issued++
			}
		}
		if won != 1 || issued != 1 {
			return fmt.Errorf("a record was used up %d times and %d tokens issued for it under %d parallel uses", won, issued, callers)
		}
		return nil
	})
}

// manyContests runs one round with a crowd and then many rounds with fewer.
func manyContests(round func(id string, callers int) error) error {
	if err := round("crowd", crowd); err != nil {
		return err
	}
	for i := range contestRounds {
		if err := round(fmt.Sprintf("round %d", i), contestCallers); err != nil {
			return fmt.Errorf("in round %d: %w", i, err)
		}
	}
	return nil
}

func arrangeContest(ctx context.Context, b storage.Backend, id string) (storage.Revision, error) {
	if err := arrange(ctx, b, put(id, storage.Absent(), "unused")); err != nil {
		return 0, err
	}
	r, err := get(ctx, b, id)
	return r.Revision, err
}
