package engine

import (
	"time"

	"github.com/doorward/doorward/storage"
)

// mark is the record of something that must not count any more, kept until it would have
// ended by itself: a client assertion, a request object or a DPoP proof that was used, or
// an access token without a record of its own that was revoked. RFC 7523 §3, RFC 9449 §11.1
type mark struct {
	ID    string    `json:"-"`
	EndAt time.Time `json:"end_at"`
}

func marks(s *storage.Store, kind string) *storage.Collection[mark] {
	return storage.Collect(s, kind, 1, func(v *mark) storage.Meta { return storage.Meta{ID: v.ID, Expiry: v.EndAt} })
}
