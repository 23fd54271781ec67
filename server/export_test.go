package server

import (
	"context"
	"slices"

	"github.com/doorward/doorward/storage"
)

// JudgeDocument makes a client of a document as if it had been fetched.
func JudgeDocument(ctx context.Context, s *Server, id string, body []byte) (*storage.Client, error) {
	return s.clients.documents.judge(ctx, id, body)
}

// ClientMetadata are the members that a client may say of itself.
func ClientMetadata() []string { return slices.Clone(clientMetadata) }
