package bearer

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	maxAnswers    = 4096            // of each kind
	negativeCache = 5 * time.Second // an unknown token does not become a known one
)

// introspection asks the issuer about tokens and keeps the answers for a moment, by
// the hash of the token. Answers about tokens that are not valid have a place of their
// own, so that junk drives no answer out that is of use.
type introspection struct {
	clientID, clientSecret string
	cache                  time.Duration

	mu      sync.Mutex
	good    *recent[*Token]
	bad     *recent[error]
	running map[tokenHash]*inquiry
}

type tokenHash = [sha256.Size]byte

// inquiry is one request to the issuer that several callers wait for.
type inquiry struct {
	done  chan struct{}
	token *Token
	err   error
}

func newIntrospection(id, secret string, cache time.Duration) *introspection {
	return &introspection{
		clientID: id, clientSecret: secret, cache: cache,
		good: newRecent[*Token](maxAnswers), bad: newRecent[error](maxAnswers), running: map[tokenHash]*inquiry{},
	}
}

// introspect tells about an opaque token, by a kept answer if there is one. RFC 7662
func (v *RemoteVerifier) introspect(ctx context.Context, token string) (*Token, error) {
	i, key := v.introspection, sha256.Sum256([]byte(token))
	i.mu.Lock()
	now := v.now()
	if t, ok := i.good.get(key, now); ok {
		i.mu.Unlock()
		return t.clone(), nil
	}
	if err, ok := i.bad.get(key, now); ok {
		i.mu.Unlock()
		return nil, err
	}
	q, waits := i.running[key]
	if !waits {
		q = &inquiry{done: make(chan struct{}), err: unavailablef("the inquiry ended early")}
		i.running[key] = q
	}
	i.mu.Unlock()
	if !waits {
		v.inquire(ctx, key, token, q)
	}
	select {
	case <-q.done:
	case <-ctx.Done():
		return nil, unavailablef("wait for an introspection: %w", ctx.Err())
	}
	if q.err != nil {
		return nil, q.err
	}
	return q.token.clone(), nil
}

// inquire asks and keeps the answer. Whatever happens, those who wait are released.
func (v *RemoteVerifier) inquire(ctx context.Context, key tokenHash, token string, q *inquiry) {
	i := v.introspection
	asked, refused := v.now(), false
	defer func() {
		i.mu.Lock()
		defer i.mu.Unlock()
		close(q.done)
		delete(i.running, key)
		switch {
		case q.err == nil:
			until := asked.Add(i.cache)
			if end := q.token.ExpiresAt; !end.IsZero() && end.Before(until) {
				until = end
			}
			i.good.put(key, q.token, until)
		case refused:
			i.bad.put(key, q.err, asked.Add(min(i.cache, negativeCache)))
		}
	}()
	body, err := v.ask(ctx, token)
	if err != nil {
		q.err = unavailablef("introspect: %w", err)
		return
	}
	if q.token, err = v.answered(body); err != nil {
		q.err, refused = invalidf("%w", err), true
		return
	}
	q.err = nil
}

// ask sends the request. A refusal of the API's own credentials says nothing of the
// token. RFC 7662 §2.1
func (v *RemoteVerifier) ask(ctx context.Context, token string) (claims, error) {
	d, err := v.known(ctx)
	if err != nil {
		return nil, err
	}
	if d.Introspection == "" {
		return nil, fmt.Errorf("the issuer has no introspection endpoint")
	}
	i := v.introspection
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	post := !slices.Contains(d.IntrospectionAuth, "client_secret_basic") && slices.Contains(d.IntrospectionAuth, "client_secret_post")
	if post {
		form.Set("client_id", i.clientID)
		form.Set("client_secret", i.clientSecret)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, d.Introspection, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if !post { // RFC 6749 §2.3.1
		r.SetBasicAuth(url.QueryEscape(i.clientID), url.QueryEscape(i.clientSecret))
	}
	body, _, err := v.web.do(r)
	if err != nil {
		return nil, err
	}
	return readClaims(body)
}

// answered judges the answer. A refresh token is active too, and opens nothing here.
// RFC 7662 §2.2
func (v *RemoteVerifier) answered(c claims) (*Token, error) {
	if string(c["active"]) != "true" {
		return nil, fmt.Errorf("the issuer says that it is not active, or not for this API")
	}
	r := reader{claims: c}
	kind, use := r.text("token_type"), r.text("token_use")
	switch {
	case r.err != nil:
		return nil, r.err
	case kind != "" && !strings.EqualFold(kind, "Bearer") && !strings.EqualFold(kind, "DPoP"):
		return nil, fmt.Errorf("it is of the type %.80q", kind)
	case use != "" && use != "access_token":
		return nil, fmt.Errorf("it is for the use %.80q", use)
	case strings.EqualFold(kind, "DPoP") && !c.has("cnf"):
		return nil, fmt.Errorf("it is bound to a key, and the issuer does not say which")
	}
	return v.judge(c, "aud")
}
