package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/doorward/doorward/internal/jws"
	"github.com/doorward/doorward/internal/outbound"
	"github.com/doorward/doorward/storage"
)

const maxKeySet = 64 << 10 // bytes of a JWKS

// clientKeys is the cache of what stands behind the jwks_uri of clients.
func clientKeys(c *outbound.Client, s *storage.Store) *outbound.Cache[jws.Keys] {
	return outbound.NewCache(c, keySetCache(s), jws.ParseKeys)
}

func keySetCache(s *storage.Store) outbound.CacheOptions {
	return outbound.CacheOptions{
		Size: 1000, Limit: maxKeySet, Least: time.Minute, Default: 10 * time.Minute, Most: time.Hour,
		Failure: 10 * time.Second, Again: time.Minute, Now: s.Now,
	}
}

// unusableKeys says that the keys of a client can't be had. Its detail is for the log
// alone: who registers a URL must not learn what the server sees there.
type unusableKeys struct {
	setting, detail string
	cause           error
}

func (u *unusableKeys) Error() string { return "engine: the keys of the client can't be used" }

// verifyBy checks a signature by the keys of a client. Keys behind a URL may have changed
// since they were fetched, so a failure asks for them again, within bounds. The errors are
// those of jws.Keys.Verify, *unusableKeys, and that of ctx.
func (e *Engine) verifyBy(ctx context.Context, c *storage.Client, token string) (jws.Header, []byte, error) {
	keys, err := e.keysOf(ctx, c, false)
	if err != nil {
		return jws.Header{}, nil, err
	}
	header, payload, err := keys.Verify(token)
	if (errors.Is(err, jws.ErrUnknownKey) || errors.Is(err, jws.ErrSignature)) && c.JWKSURI != "" {
		if keys, err = e.keysOf(ctx, c, true); err != nil {
			return jws.Header{}, nil, err
		}
		header, payload, err = keys.Verify(token)
	}
	if err == nil && !slices.Contains(e.config.Signatures, header.Algorithm) {
		return header, nil, fmt.Errorf("%w: %s", jws.ErrAlgorithm, header.Algorithm)
	}
	return header, payload, err
}

// Signatures are the algorithms by which clients may sign.
func (e *Engine) Signatures() []string { return slices.Clone(e.config.Signatures) }

// fetchOf names a key set in the memo of a unit of work.
type fetchOf struct {
	uri   string
	again bool
}

func (e *Engine) keysOf(ctx context.Context, c *storage.Client, again bool) (jws.Keys, error) {
	if len(c.JWKS) == 0 && c.JWKSURI == "" {
		return jws.Keys{}, &unusableKeys{setting: "jwks", detail: "none are registered"}
	}
	if c.JWKSURI == "" {
		keys, err := jws.ParseKeys(c.JWKS)
		if err != nil {
			return keys, &unusableKeys{setting: "jwks", detail: "the registered set can't be read", cause: err}
		}
		return keys, nil
	}
	keys, err := storage.Memo(ctx, e.store, fetchOf{c.JWKSURI, again}, func() (jws.Keys, error) {
		if again {
			return e.keySets.Refresh(ctx, c.JWKSURI)
		}
		return e.keySets.Get(ctx, c.JWKSURI)
	})
	switch {
	case err == nil:
		return keys, nil
	case ctx.Err() != nil:
		return keys, ctx.Err()
	default:
		return keys, &unusableKeys{setting: "jwks_uri", detail: outbound.Detail(err)}
	}
}
