package engine

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"slices"
	"time"

	"github.com/doorward/doorward/internal/opaque"
	"github.com/doorward/doorward/storage"
)

const (
	refreshPrefix  = "dwr_"
	generationSize = 4
	macSize        = 16
	saltSize       = 16
)

// refreshToken is a refresh token taken apart. Its MAC proves that it was made
// here, whatever became of it, so no list of old ones is kept.
type refreshToken struct {
	grant      string
	generation uint32
	secret     []byte
}

// parseRefresh returns an authentic refresh token.
func (e *Engine) parseRefresh(token string) (refreshToken, bool) {
	raw, ok := decode(refreshPrefix, token, idSize+generationSize+secretSize+macSize)
	if !ok {
		return refreshToken{}, false
	}
	body, mac := raw[:len(raw)-macSize], raw[len(raw)-macSize:]
	if !hmac.Equal(mac, e.refreshMAC(body)) {
		return refreshToken{}, false
	}
	return refreshToken{
		grant:      opaque.IDString(body[:idSize]),
		generation: binary.BigEndian.Uint32(body[idSize:]),
		secret:     body[idSize+generationSize:],
	}, true
}

// makeRefresh puts a refresh token together.
func (e *Engine) makeRefresh(t refreshToken) string {
	body, _ := opaque.IDBytes(t.grant) // a grant's ID always has them
	body = binary.BigEndian.AppendUint32(body, t.generation)
	body = append(body, t.secret...)
	return refreshPrefix + base64.RawURLEncoding.EncodeToString(append(body, e.refreshMAC(body)...))
}

func (e *Engine) refreshMAC(body []byte) []byte { return e.store.MAC("refresh", body)[:macSize] }

// startChain gives a grant its first refresh token.
func (e *Engine) startChain(g *storage.Grant, now time.Time) string {
	first := refreshToken{grant: g.ID, generation: 1, secret: opaque.Random(secretSize)}
	end := now.Add(e.config.Lifetimes.RefreshAbsolute)
	g.Refresh = &storage.Refresh{
		Generation: first.generation, Head: secretHash(first.secret), IssuedAt: now,
		IdleEnd: e.idleEnd(now, end), End: end, Offline: slices.Contains(g.Scopes, scopeOffline),
	}
	g.ExpiresAt = e.endOfGrant(g.Refresh.IdleEnd)
	return e.makeRefresh(first)
}

// successor returns the token that follows the one presented. It is derived, not
// random, so that the same answer can be given again though no token is kept.
func (e *Engine) successor(presented refreshToken, salt []byte) refreshToken {
	return refreshToken{
		grant: presented.grant, generation: presented.generation + 1,
		secret: e.store.MAC("refresh successor", presented.secret, salt),
	}
}

// rotate makes the successor of the head the head.
func (e *Engine) rotate(g *storage.Grant, presented refreshToken, now time.Time) string {
	salt := opaque.Random(saltSize)
	next := e.successor(presented, salt)
	r := g.Refresh
	r.Previous, r.Head, r.Generation, r.Salt = r.Head, secretHash(next.secret), next.generation, salt
	r.RotatedBefore, r.RotatedAt = r.RotatedAt, now
	r.IdleEnd = e.idleEnd(now, e.endOfChain(r))
	g.ExpiresAt = e.endOfGrant(r.IdleEnd)
	return e.makeRefresh(next)
}

// endOfChain returns the absolute end of a chain, which was set when it began. A
// shorter lifetime that was configured since counts: the epoch of a session that ended
// is kept for as long as that says, and what outlived the epoch would be valid again.
func (e *Engine) endOfChain(r *storage.Refresh) time.Time {
	if end := r.IssuedAt.Add(e.config.Lifetimes.RefreshAbsolute); end.Before(r.End) {
		return end
	}
	return r.End
}

// idleEnd returns when a chain that was used now ends without further use.
func (e *Engine) idleEnd(now, end time.Time) time.Time {
	if idle := now.Add(e.config.Lifetimes.RefreshIdle); idle.Before(end) {
		return idle
	}
	return end
}

func secretHash(secret []byte) []byte {
	sum := sha256.Sum256(secret)
	return sum[:]
}
