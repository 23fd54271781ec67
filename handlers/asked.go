package handlers

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/doorward/doorward/handlers/pages"
	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/storage"
)

// askedClaims are the names that a person has to be shown, beside the scopes: the
// claims that are asked for one by one, less those that tell of the sign-in itself and
// those that the scopes release anyway. OpenID Connect Core §5.5
func askedClaims(a *engine.Authorization) []string {
	return slices.DeleteFunc(a.Asked.Names(), func(name string) bool {
		if slices.Contains(protocolClaims, name) {
			return true
		}
		return slices.ContainsFunc(a.Scopes, func(scope string) bool { return slices.Contains(engine.ClaimsOf(scope), name) })
	})
}

// pageClaims are the claims in the person's words.
func (in *Interaction) pageClaims(r *http.Request) (list []pages.Claim) {
	l := in.h.words(r)
	for _, name := range askedClaims(in.a) {
		list = append(list, pages.Claim{
			Name: readable(name, 60), Description: l.Claim(readable(name, 60)),
			Essential: in.a.Asked.IDToken[name].Essential || in.a.Asked.UserInfo[name].Essential,
		})
	}
	return list
}

// granted returns what a person allowed a client before, as far as it still stands.
func (h *Handlers) granted(ctx context.Context, a *engine.Authorization, subject string) (*GrantedView, *engine.Error) {
	var view *GrantedView
	err := h.store.Do(ctx, func(ctx context.Context) error {
		key, app := h.store.ConsentKey(subject, a.Client.ID), h.epochs.OfApp(subject, a.Client.ID)
		if err := h.store.Load(ctx, h.consents.Ref(key), h.epochs.Ref(app)); err != nil {
			return err
		}
		c, err := h.consents.Get(ctx, key)
		if err != nil {
			return err
		}
		epoch, err := h.epochs.At(ctx, app)
		if err == nil && epoch == c.Epoch {
			view = &GrantedView{Scopes: c.Scopes, Audience: c.Audience, Claims: c.Claims, At: c.GivenAt}
		}
		return err
	})
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return nil, storeFailed(err)
	}
	return view, nil
}
