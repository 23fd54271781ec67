package handlers

import (
	"context"
	"errors"

	"github.com/doorward/doorward/internal/engine"
)

// refusal is what Refuse returns.
type refusal struct{ reason string }

func (r refusal) Error() string { return "refused: " + r.reason }

// Refuse makes the error by which a Claims hook or a Grant refuses: the client gets
// invalid_grant, the reason goes to the log. A policy of registration refuses by it too;
// there the author of the client is told the reason.
func Refuse(reason string) error { return refusal{reason} }

// Refused returns the reason of an error that Refuse made.
func Refused(err error) (reason string, ok bool) {
	refused := refusal{}
	ok = errors.As(err, &refused)
	return refused.reason, ok
}

// hookFailed makes of what a hook returned what the engine understands.
func hookFailed(err error) error {
	if refused := (refusal{}); errors.As(err, &refused) {
		return &engine.Denied{Reason: refused.reason}
	}
	return err
}

// AdaptClaims makes of a Claims hook what the engine calls. nil stays nil.
func AdaptClaims(hook Claims) func(context.Context, *engine.ClaimsRequest) error {
	if hook == nil {
		return nil
	}
	return func(ctx context.Context, c *engine.ClaimsRequest) error {
		public := &ClaimsRequest{
			Subject: c.Subject, ClientID: c.ClientID, Grant: c.Grant, Org: c.Org, GrantType: c.GrantType,
			Scopes: c.Scopes, Audience: c.Audience, Asked: c.Asked,
			User: filled(c.User), IDToken: filled(c.IDToken), UserInfo: filled(c.UserInfo), AccessToken: filled(c.AccessToken),
		}
		if err := hook(ctx, public); err != nil {
			return hookFailed(err)
		}
		c.User, c.IDToken, c.UserInfo, c.AccessToken = public.User, public.IDToken, public.UserInfo, public.AccessToken
		return nil
	}
}

func filled(m map[string]any) map[string]any {
	if m == nil {
		return map[string]any{}
	}
	return m
}

// AdaptEvents makes of an event handler what the engine calls. nil stays nil.
func AdaptEvents(observe func(context.Context, Event)) func(context.Context, engine.Event) {
	if observe == nil {
		return nil
	}
	return func(ctx context.Context, e engine.Event) {
		observe(ctx, Event{
			Type: EventType(e.Type), Time: e.Time, ClientID: e.ClientID, Subject: e.Subject,
			Grant: e.Grant, Reason: e.Reason, Age: e.Age,
		})
	}
}
