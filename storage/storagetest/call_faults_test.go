package storagetest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/doorward/doorward/storage"
	"github.com/doorward/doorward/storage/memory"
)

func callFaults() []fault {
	return []fault{
		{"calls are answered after Close", []string{"close/unavailable"}, "after Close succeeded", func(m *memory.Backend) *faulty {
			return &faulty{Backend: m, close: func() error { return nil }}
		}},
		{"a second Close fails", []string{"close/unavailable"}, "Close, twice failed", func(m *memory.Backend) *faulty {
			var mu sync.Mutex
			closed := false
			return &faulty{Backend: m, close: func() error {
				mu.Lock()
				defer mu.Unlock()
				if closed {
					return errors.New("already closed")
				}
				closed = true
				return m.Close()
			}}
		}},
		{"after Close the driver's own error is returned", []string{"close/unavailable", "close/under load"}, "database not open", func(m *memory.Backend) *faulty {
			return &faulty{Backend: m, apply: func(ctx context.Context, b storage.Batch) error {
				err := m.Apply(ctx, b)
				if errors.Is(err, storage.ErrUnavailable) {
					return errors.New("database not open")
				}
				return err
			}}
		}},
		{"Apply ignores its context", []string{"cancel/before"}, "with a context that has ended succeeded", func(m *memory.Backend) *faulty {
			return &faulty{Backend: m, apply: func(ctx context.Context, b storage.Batch) error {
				return m.Apply(context.WithoutCancel(ctx), b)
			}}
		}},
		{"Apply says cancelled though it is stored", []string{"cancel/before", "cancel/amid"}, "a batch is there though its caller was told", func(m *memory.Backend) *faulty {
			return &faulty{Backend: m, apply: func(ctx context.Context, b storage.Batch) error {
				return errors.Join(m.Apply(context.WithoutCancel(ctx), b), ctx.Err())
			}}
		}},
		{"a query is not validated", []string{"limits/query"}, "a query with", func(m *memory.Backend) *faulty {
			return &faulty{Backend: m, list: func(ctx context.Context, q storage.Query) ([]storage.Record, error) {
				q.Limit = min(max(q.Limit, 1), storage.MaxPage)
				return m.List(ctx, q)
			}}
		}},
		{"LastCommit is the time of the last batch, failed or not", []string{"clock witness"}, "LastCommit is", func(m *memory.Backend) *faulty {
			var mu sync.Mutex
			var last time.Time
			return &faulty{
				Backend: m,
				apply: func(ctx context.Context, b storage.Batch) error {
					mu.Lock()
					defer mu.Unlock()
					last = b.Now
					return m.Apply(ctx, b)
				},
				lastCommit: func(context.Context) (time.Time, error) {
					mu.Lock()
					defer mu.Unlock()
					return last, nil
				},
			}
		}},
		{"the secret is handed out itself", []string{"secret keeper"}, sharedStory, func(m *memory.Backend) *faulty {
			secret := []byte("0123456789abcdef0123456789abcdef")
			return &faulty{Backend: m, secret: func(context.Context, bool) ([]byte, error) { return secret, nil }}
		}},
	}
}
