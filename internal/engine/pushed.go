package engine

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/doorward/doorward/internal/opaque"
	"github.com/doorward/doorward/storage"
)

const (
	pushedURN    = "urn:ietf:params:oauth:request_uri:" // RFC 9126 §2.2
	pushedPrefix = pushedURN + "dwp_"
	maxPushed    = maxAuthorize - 256 // bytes as it is encoded; the request_uri comes to it

	// usedLife is how long a request is known as used: longer than any interaction
	// that began with it.
	usedLife = 3 * 24 * time.Hour
)

// pushedRequest is an authorize request that its client sent beforehand. It holds no
// credentials.
type pushedRequest struct {
	Key         string    `json:"-"` // opaque.TokenKey of the request_uri, which is not stored
	ClientID    string    `json:"client_id,omitempty"`
	Incarnation string    `json:"incarnation,omitempty"`
	Params      string    `json:"params,omitempty"`
	EndAt       time.Time `json:"end_at"`
	UsedAt      time.Time `json:"used_at,omitzero"`
}

// SetKey implements storage.Keyed.
func (p *pushedRequest) SetKey(id string) { p.Key = id }

func pushedRequests(s *storage.Store) *storage.Collection[pushedRequest] {
	return storage.Collect(s, "pushed", 1, func(p *pushedRequest) storage.Meta {
		return storage.Meta{ID: p.Key, Expiry: p.EndAt}
	})
}

// PushedRequest is what a client is told of the request that it pushed. RFC 9126 §2.2
type PushedRequest struct {
	RequestURI string
	ExpiresIn  time.Duration
	Nonce      string // for the DPoP-Nonce header, "" for none
}

// PushRequest is a request to the pushed authorization request endpoint, its Form
// without the credentials.
type PushRequest struct {
	Credentials Credentials
	Form        url.Values
	Sender      Sender // a proof binds the code to its key. RFC 9449 §10.1
}

// Push stores an authorize request of the client whose credentials these are, checked
// as a whole: what would be refused later is refused now. The Form holds no
// credentials and no client_id any more; the request is the client's that proved to be
// it, whoever the form says it is of. RFC 9126 §2.1
func (e *Engine) Push(ctx context.Context, r PushRequest) (*PushedRequest, *Error) {
	has := &possession{}
	var refusal *Error
	if has.proof, refusal = e.proof(r.Sender, ""); refusal != nil {
		return nil, refusal
	}
	ctx = context.WithValue(ctx, possessionKey{}, has)
	var response *PushedRequest
	err := e.guarded(ctx, "push", func() error {
		return e.store.Do(ctx, func(ctx context.Context) (err error) {
			response, err = e.push(ctx, r.Credentials, r.Form)
			return err
		})
	})
	if err != nil {
		return nil, failure(err)
	}
	return response, nil
}

func (e *Engine) push(ctx context.Context, by Credentials, form url.Values) (*PushedRequest, error) {
	c, err := e.authenticate(ctx, by)
	if err != nil {
		return nil, err
	}
	if form.Get("request_uri") != "" {
		return nil, refuse(codeInvalidRequest, "pushed_reference", "A pushed request can not have a request_uri: send its parameters.")
	}
	params := maps.Clone(form)
	if params == nil {
		params = url.Values{}
	}
	params.Set("client_id", c.ID)
	has := shown(ctx)
	if err := e.bindPushed(ctx, c, params, has); err != nil {
		return nil, err
	}
	encoded := params.Encode()
	if len(encoded) > maxPushed {
		large := refuse(codeInvalidRequest, "pushed_too_large", "The pushed request is too large: at most 7936 bytes are accepted.")
		large.Status = http.StatusRequestEntityTooLarge // RFC 9126 §2.3
		return nil, large
	}
	a := &Authorization{Params: params}
	if _, err := e.checkAuthorize(ctx, a, beingPushed); err != nil {
		return nil, err
	}
	encoded = a.Params.Encode() // what a request object held, if it was one
	now, life := e.store.Now(), cmp.Or(e.config.Lifetimes.PushedRequest, time.Minute)
	uri := opaque.NewToken(pushedPrefix, now)
	key, _ := opaque.TokenKey(pushedPrefix, uri) // just made, so it has the form
	if err := e.pushed.Insert(ctx, &pushedRequest{
		Key: key, ClientID: c.ID, Incarnation: c.Incarnation, Params: encoded, EndAt: now.Add(life),
	}); err != nil {
		return nil, err
	}
	return &PushedRequest{RequestURI: uri, ExpiresIn: life, Nonce: has.nonce}, nil
}

// bindPushed has a proof stand for the parameter dpop_jkt. RFC 9449 §10.1
func (e *Engine) bindPushed(ctx context.Context, c *storage.Client, params url.Values, has *possession) error {
	if has.proof == nil { // it is asked for when the code is redeemed
		return nil
	}
	if jkt := params.Get("dpop_jkt"); jkt != "" && jkt != has.proof.Thumbprint {
		return refuse(codeInvalidProof, "dpop_jkt_mismatch", "The dpop_jkt is another key than that of the DPoP proof: leave it out, or send that of the proof.")
	}
	if err := e.judgeProof(ctx, c, has); err != nil {
		return err
	}
	params.Set("dpop_jkt", has.proof.Thumbprint)
	return nil
}

// origin is where the parameters of an authorize request come from.
type origin int

const (
	fromBrowser     origin = iota
	fromInteraction        // checked before, and kept: a pushed request with its parameters
	beingPushed
)

// resolve returns the parameters that count: those that a request object holds, or that
// were pushed, where there is one or the other.
func (e *Engine) resolve(ctx context.Context, a *Authorization, form url.Values, twice []string, from origin) (url.Values, error) {
	signed, referred := from != fromInteraction && form.Get("request") != "", form.Get("request_uri")
	switch {
	case signed && referred != "" && !strings.HasPrefix(referred, pushedURN):
		return nil, refuse(codeInvalidRequest, "request_object_twice", "The request has both request and request_uri: send one of them.")
	case signed && referred == "":
		opened, err := e.open(ctx, a, form)
		if err != nil {
			return nil, err
		}
		form = opened
	}
	form, err := e.resolvePushed(ctx, a, form, twice, from)
	if err != nil {
		return nil, err
	}
	return form, e.takeObject(ctx, a, form)
}

// resolvePushed returns the parameters of a pushed request, and those of any other as they
// came. Those of a pushed request are the stored ones alone: what else the browser brings was never checked against its client, and
// whoever made the link could have added it. RFC 9126 §4, RFC 9101 §6.3
func (e *Engine) resolvePushed(ctx context.Context, a *Authorization, form url.Values, twice []string, from origin) (url.Values, error) {
	uri := form.Get("request_uri")
	if from == beingPushed || !strings.HasPrefix(uri, pushedURN) {
		return form, nil
	}
	key, _ := opaque.TokenKey(pushedPrefix, uri)
	p, err := e.unused(ctx, key)
	if err != nil {
		return nil, err
	}
	if from == fromInteraction {
		a.Pushed = key
		form.Del("request_uri")
		return form, nil
	}
	for name := range form {
		if name != "client_id" && name != "request_uri" || slices.Contains(twice, name) {
			return nil, refuse(codeInvalidRequest, "pushed_parameters",
				"Beside the request_uri of a pushed request only client_id may be sent; the request also has "+quote(name)+".")
		}
	}
	switch {
	case p == nil:
		return nil, refuse(codeInvalidRequestURI, "pushed_unknown", "The request_uri is unknown or has expired. Go back to the application and try again.")
	case p.ClientID != a.Client.ID || p.Incarnation != a.Client.Incarnation:
		return nil, refuse(codeInvalidRequestURI, "pushed_other_client", "The request_uri is unknown or has expired. Go back to the application and try again.").
			secret().detail("it was pushed by %s", quote(p.ClientID))
	}
	params, err := url.ParseQuery(p.Params)
	if err != nil {
		return nil, broken("internal", err) // written by Encode, so not reached
	}
	a.Pushed, a.Params = key, maps.Clone(params)
	a.Params.Set("request_uri", uri)
	form, _ = parameters(params)
	return form, nil
}

// unused returns a pushed request, nil when there is none (any more), and refuses one
// that led to an answer before.
func (e *Engine) unused(ctx context.Context, key string) (*pushedRequest, error) {
	p, err := e.pushed.Get(ctx, key)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case !p.UsedAt.IsZero():
		return nil, refuse(codeInvalidRequestURI, "pushed_used", "This request was answered before. Go back to the application and try again.").
			detail("it was used at %s", p.UsedAt.Format(time.RFC3339))
	}
	return p, nil
}

// usePushed ends the pushed request that an authorization came from, in the unit of
// work that answers it: of two tabs one gets a code. It may have expired by now, while
// the person was signing in. RFC 9126 §7.3
func (e *Engine) usePushed(ctx context.Context, a *Authorization) error {
	if a.Pushed == "" {
		return nil
	}
	now := e.store.Now()
	return e.pushed.Put(ctx, &pushedRequest{Key: a.Pushed, ClientID: a.Client.ID, UsedAt: now, EndAt: now.Add(usedLife)})
}

// EndPushed ends the pushed request of an authorization that is answered by an error, in
// the unit of work of ctx: the person has answered, and the link must not ask again.
func (e *Engine) EndPushed(ctx context.Context, a *Authorization) error { return e.usePushed(ctx, a) }

// PushedToken returns what a request_uri of ours has after its prefix. RFC 9126 §2.2
func PushedToken(uri string) (token string, ok bool) {
	_, ok = opaque.TokenKey(pushedPrefix, uri)
	return strings.TrimPrefix(uri, pushedPrefix), ok
}

// mustPush refuses a request that was not pushed where it should have been.
// RFC 9126 §5, §6
func (e *Engine) mustPush(a *Authorization, from origin) *Error {
	if from == beingPushed || a.Pushed != "" || !e.config.RequirePushed && !a.Client.RequirePushedAuthorizationRequests {
		return nil
	}
	return refuse(codeInvalidRequest, "pushed_required", "The request must be pushed to the pushed_authorization_request_endpoint first.").
		setting("require_pushed_authorization_requests")
}
