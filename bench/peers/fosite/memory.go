package main

import (
	"context"
	"sync"

	"github.com/ory/fosite"
	"github.com/ory/fosite/storage"
)

// memory is fosite's MemoryStore with a lock around its refresh tokens: its own
// RevokeRefreshToken writes their map without one, and under load the process ends there.
type memory struct {
	*storage.MemoryStore
	refreshes sync.RWMutex
}

func (m *memory) CreateRefreshTokenSession(ctx context.Context, signature, access string, r fosite.Requester) error {
	m.refreshes.Lock()
	defer m.refreshes.Unlock()
	return m.MemoryStore.CreateRefreshTokenSession(ctx, signature, access, r)
}

func (m *memory) GetRefreshTokenSession(ctx context.Context, signature string, s fosite.Session) (fosite.Requester, error) {
	m.refreshes.RLock()
	defer m.refreshes.RUnlock()
	return m.MemoryStore.GetRefreshTokenSession(ctx, signature, s)
}

func (m *memory) DeleteRefreshTokenSession(ctx context.Context, signature string) error {
	m.refreshes.Lock()
	defer m.refreshes.Unlock()
	return m.MemoryStore.DeleteRefreshTokenSession(ctx, signature)
}

func (m *memory) RevokeRefreshToken(ctx context.Context, requestID string) error {
	m.refreshes.Lock()
	defer m.refreshes.Unlock()
	return m.MemoryStore.RevokeRefreshToken(ctx, requestID)
}

func (m *memory) RotateRefreshToken(ctx context.Context, requestID, signature string) error {
	m.refreshes.Lock()
	defer m.refreshes.Unlock()
	return m.MemoryStore.RotateRefreshToken(ctx, requestID, signature)
}
