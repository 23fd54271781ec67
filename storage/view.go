package storage

import (
	"bytes"
	"context"
	"maps"
	"sync/atomic"
)

// View is Get for who only looks: the value may be one that others look at too, so it is
// not to be changed, nor what it holds. It is as new as that of Get: the record is read each
// time. What is spared is to open and to decode the same bytes again.
func (c *Collection[T]) View(ctx context.Context, id string) (*T, error) {
	return c.view(ctx, id, (*unit).entry)
}

// Few lets View keep few values only, and returns c: for those that are looked at some times
// in a row and then hardly any more. It is called before the first View.
func (c *Collection[T]) Few() *Collection[T] {
	c.views = fewViews
	return c
}

// fewViews is how many values of a kind one generation holds after Few: what several
// hundred callers at once need.
const fewViews = 128

// RecentView is View of what Recent returns.
func (c *Collection[T]) RecentView(ctx context.Context, id string) (*T, error) {
	return c.view(ctx, id, (*unit).recent)
}

// Seen returns what View has returned lately for id, without reading anything, and nil when
// that was forgotten. The record may have changed or gone since: it is a hint what else will
// be needed, as for Store.Load, and no more.
func (c *Collection[T]) Seen(id string) *T {
	sights := c.store.sightsOf(c.kind)
	if sights == nil {
		return nil
	}
	if s, ok := sights.get(id); ok {
		return seen[T](s)
	}
	return nil
}

func (c *Collection[T]) view(ctx context.Context, id string, find func(*unit, context.Context, Key) (*entry, error)) (value *T, err error) {
	if id == "" {
		return nil, ErrNotFound
	}
	c.store.keepSights(c.kind, c.views)
	err = c.store.Do(ctx, func(ctx context.Context) error {
		e, err := find(c.store.unit(ctx), ctx, c.store.key(c.kind, id))
		if err != nil {
			return err
		}
		_, plain, exists := e.current()
		if !exists {
			return ErrNotFound
		}
		s := e.sight
		if e.pending != nil {
			s = nil
		}
		if value = seen[T](s); value != nil {
			return nil
		}
		if value, err = c.decode(id, plain); err == nil && s != nil {
			shared := any(value)
			s.value.Store(&shared)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return value, nil
}

// sight is a record of a kind that is looked at, as it was read, opened and perhaps decoded.
// But for the value nothing of it changes.
type sight struct {
	revision Revision
	sealed   []byte
	schema   int
	plain    []byte
	value    atomic.Pointer[any] // a *T, once somebody has looked
}

// seen returns what was made of a record, nil when that is not known.
func seen[T any](s *sight) *T {
	if s == nil {
		return nil
	}
	shared := s.value.Load()
	if shared == nil {
		return nil
	}
	value, _ := (*shared).(*T)
	return value
}

// sights are the latest ones of a kind, by ID.
type sights = generations[string, *sight]

// sightsOf returns the sights of a kind, nil when nobody looks at it.
func (s *Store) sightsOf(kind string) *sights {
	if all := s.sights.Load(); all != nil {
		return (*all)[kind]
	}
	return nil
}

// keepSights begins to keep the sights of a kind, so many in a generation.
func (s *Store) keepSights(kind string, size int) {
	for {
		was := s.sights.Load()
		if was != nil && (*was)[kind] != nil {
			return
		}
		all := map[string]*sights{}
		if was != nil {
			maps.Copy(all, *was)
		}
		all[kind] = &sights{size: size}
		if s.sights.CompareAndSwap(was, &all) {
			return
		}
	}
}

// look opens a record. One whose every byte is as it was when it was opened last, at the
// same place, need not be opened again. sight is nil for kinds at which nobody looks.
func (s *Store) look(ctx context.Context, r *Record) (schema int, plain []byte, kept *sight, err error) {
	sights := s.sightsOf(r.Kind)
	if sights != nil {
		if was, ok := sights.get(r.ID); ok && was.revision == r.Revision && bytes.Equal(was.sealed, r.Value) {
			return was.schema, was.plain, was, nil
		}
	}
	schema, plain, err = s.open(ctx, r)
	if err != nil || sights == nil || len(plain) > largeRecent {
		return schema, plain, nil, err
	}
	kept = &sight{revision: r.Revision, sealed: bytes.Clone(r.Value), schema: schema, plain: plain}
	sights.put(r.ID, kept)
	return schema, plain, kept, nil
}
