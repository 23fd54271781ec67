package servertest

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/memory"
)

// store is a memory backend that can be made to fail.
type store struct {
	*memory.Backend
	failing atomic.Bool
}

// FailStore makes the store unavailable, so that the provider answers 503, until it
// is called with false.
func (p *Provider) FailStore(failing bool) { p.backend.failing.Store(failing) }

func (s *store) refusal() error {
	if s.failing.Load() {
		return fmt.Errorf("%w: servertest was told to fail", storage.ErrUnavailable)
	}
	return nil
}

// Get implements storage.Backend.
func (s *store) Get(ctx context.Context, keys ...storage.Key) ([]storage.Record, error) {
	if err := s.refusal(); err != nil {
		return nil, err
	}
	return s.Backend.Get(ctx, keys...)
}

// List implements storage.Backend.
func (s *store) List(ctx context.Context, q storage.Query) ([]storage.Record, error) {
	if err := s.refusal(); err != nil {
		return nil, err
	}
	return s.Backend.List(ctx, q)
}

// Apply implements storage.Backend.
func (s *store) Apply(ctx context.Context, b storage.Batch) error {
	if err := s.refusal(); err != nil {
		return err
	}
	return s.Backend.Apply(ctx, b)
}
