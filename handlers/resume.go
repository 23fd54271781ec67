package handlers

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"

	"github.com/doorward/doorward/internal/engine"
	"github.com/doorward/doorward/internal/opaque"
	"github.com/doorward/doorward/storage"
)

// timeLength is how many characters of a token of ours tell the time.
const timeLength = 8

// pushedInteraction returns the ID of the interaction that a pushed request leads to in
// the browser that opens it first. It follows from the request_uri by a key of the
// store, so nothing has to be written to find it again, and whoever has it had the
// request_uri. RFC 9126 §4
func (h *Handlers) pushedInteraction(params url.Values) (id string, ok bool) {
	uri := params.Get("request_uri")
	token, ok := engine.PushedToken(uri)
	if !ok {
		return "", false
	}
	mac := h.store.MAC("pushed interaction", []byte(uri), []byte(params.Get("client_id")))
	id = interactionPrefix + token[:timeLength] + base64.RawURLEncoding.EncodeToString(mac)
	_, ok = opaque.TokenKey(interactionPrefix, id)
	return id, ok
}

// resume sends a browser that opens a pushed request again, by a reload say, back to
// where the person is, also when the request itself has expired meanwhile.
func (h *Handlers) resume(w http.ResponseWriter, r *http.Request, params url.Values) (bool, *engine.Error) {
	if r.Method != http.MethodGet || len(params) != 2 { // what stands beside it is refused
		return false, nil
	}
	id, ok := h.pushedInteraction(params)
	if !ok {
		return false, nil
	}
	rec, e := h.load(r.Context(), id)
	if e != nil || rec == nil {
		return false, e
	}
	if rec.Step == stepDone || rec.ended(h.now()) || !rec.boundTo(h.cookies.read(r, interactionCookie(id))) {
		return false, nil
	}
	redirect(w, h.path("interaction/"+id))
	return true, nil
}

var errTaken = errors.New("handlers: the interaction is there already")

// beginPushed is begin for a pushed request: under the ID by which it is found again,
// unless that is taken by another browser.
func (h *Handlers) beginPushed(w http.ResponseWriter, r *http.Request, a *engine.Authorization, rec *record, id, secret string) *engine.Error {
	known, ok := h.pushedInteraction(a.Params)
	if a.Pushed == "" || !ok {
		return h.begin(w, r, rec, id, secret)
	}
	anew := *rec
	anew.Key, _ = opaque.TokenKey(interactionPrefix, known) // it has the form
	err := h.store.Do(r.Context(), func(ctx context.Context) error {
		switch _, err := h.records.Get(ctx, anew.Key); {
		case err == nil:
			return errTaken
		case !errors.Is(err, storage.ErrNotFound):
			return err
		}
		return h.records.Put(ctx, &anew)
	})
	switch {
	case errors.Is(err, errTaken):
		return h.begin(w, r, rec, id, secret)
	case err != nil:
		return storeFailed(err)
	}
	h.cookies.setInteraction(w, r, known, secret, h.config.Lifetimes.Interaction+restartLife)
	redirect(w, h.path("interaction/"+known))
	return nil
}
