package engine

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/doorward/doorward/internal/opaque"
	"github.com/doorward/doorward/storage"
)

// Approval is what the person decided.
type Approval struct {
	Subject   string
	SessionID string
	AuthTime  time.Time
	ACR       string
	AMR       []string
	Org       string
	Scopes    []string // granted: a subset of what was asked
	Audience  []string // nil: all that was asked
}

// Approve writes the grant with its code in the unit of work of ctx. prompt,
// max_age and acr were settled by the caller. The request is checked once more,
// because the client may have changed while the person was busy. RFC 6749 §4.1.2
func (e *Engine) Approve(ctx context.Context, a *Authorization, ok Approval) (*Answer, *Error) {
	var answer *Answer
	err := e.guarded(ctx, "approve", func() error {
		return e.store.Do(ctx, func(ctx context.Context) (err error) {
			answer, err = e.approve(ctx, a, ok)
			return err
		})
	})
	if err != nil {
		return nil, failure(err)
	}
	return answer, nil
}

func (e *Engine) approve(ctx context.Context, a *Authorization, ok Approval) (*Answer, error) {
	fresh, request, err := e.checkAgain(ctx, a)
	if err != nil {
		return nil, err
	}
	if ok.Audience == nil {
		ok.Audience = fresh.Audience
	}
	if err := e.checkApproval(&ok, fresh.Scopes, fresh.Audience); err != nil {
		return nil, err
	}
	now := e.store.Now()
	g, err := e.newGrant(ctx, &ok, fresh.Client, opaque.NewID(now))
	if err != nil {
		return nil, err
	}
	form, _ := parameters(a.Params) // checked above
	g.Asked = fresh.Asked
	g.Code = &storage.Code{
		ExpiresAt: now.Add(e.config.Lifetimes.Code), RedirectURI: fresh.RedirectURI, URISent: form.Has("redirect_uri"),
		JKT: fresh.DPoPKey,
	}
	g.ExpiresAt = g.Code.ExpiresAt.Add(grantMargin)
	request.SetID(g.ID)
	for _, s := range g.Scopes {
		request.GrantScope(s)
	}
	for _, aud := range g.Audience {
		request.GrantAudience(aud)
	}
	response, err := e.fosite.NewAuthorizeResponse(ctx, request, &session{grant: g})
	if err != nil {
		return nil, err
	}
	if len(g.Code.Hash) == 0 || g.Code.Challenge == "" && !exemptFromPKCE(fresh.Client) {
		return nil, broken("internal", nil).detail("fosite made a grant without a code or a challenge")
	}
	e.warnState(ctx, fresh, g.Code.Challenge)
	if err := e.grants.Insert(ctx, g); err != nil {
		return nil, err
	}
	if err := e.takePart(ctx, fresh.Client, g); err != nil {
		return nil, err
	}
	if err := e.used(ctx, fresh.Client); err != nil {
		return nil, err
	}
	if err := e.usePushed(ctx, fresh); err != nil {
		return nil, err
	}
	if err := e.useObject(ctx, fresh); err != nil {
		return nil, err
	}
	e.emit(ctx, Event{Type: EventCodeIssued, ClientID: g.ClientID, Subject: g.Subject, Grant: g.ID})
	return e.answer(fresh, url.Values{"code": {response.GetCode()}}), nil
}

// clockLeeway is how far the sign-in may seem to lie in the future.
const clockLeeway = time.Minute

// checkApproval refuses what a hook must never say: nobody, somebody whose name no
// token can hold, a sign-in to come, or more than was asked.
func (e *Engine) checkApproval(ok *Approval, scopes, audience []string) error {
	failed := func(format string, args ...any) error {
		return broken("approval_invalid", nil).detail(format, args...)
	}
	hidden := func(r rune) bool { return r < 0x21 || r > 0x7e }
	switch {
	case ok.Subject == "" || len(ok.Subject) > 255 || strings.ContainsFunc(ok.Subject, hidden):
		return failed("the subject %s is not 1 to 255 visible ASCII characters", quote(ok.Subject))
	case ok.AuthTime.After(e.store.Now().Add(clockLeeway)):
		return failed("the sign-in of %s is in the future: %s", quote(ok.Subject), ok.AuthTime.Format(time.RFC3339))
	}
	if odd, fine := subset(ok.Scopes, scopes); !fine {
		return failed("the scope %s was approved but not asked for: %v", quote(odd), scopes)
	}
	if odd, fine := subset(ok.Audience, audience); !fine {
		return failed("the audience %s was approved but not asked for: %q", quote(odd), audience)
	}
	return nil
}
