package handlers

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"slices"

	"github.com/doorward/doorward/handlers/pages"
	"github.com/doorward/doorward/storage"
)

const (
	// framesTime is how many seconds the pages of clients have before the browser goes
	// on, which it does not while the page loads. So the frames are lazy, and the style
	// sheet keeps them far away at first: one that never answers holds nothing up.
	framesTime = "3"
	maxFrames  = 50 // of a session
	// framesRoom is how many bytes the frames of one page may have as JSON. They are kept
	// for a second click in the commit that ends the session, which must not become too
	// large because of the addresses that clients have chosen.
	framesRoom = 64 << 10
)

// frames are the pages by which the clients of a session sign the person out in this
// browser. OpenID Connect Front-Channel Logout §2, §3
func (h *Handlers) frames(ctx context.Context, p present) (list []pages.Frame, err error) {
	found, err := h.engine.Participants(ctx, p.SessionID)
	if err != nil {
		return nil, err
	}
	for _, part := range found {
		c, err := h.config.Client(ctx, part.ClientID)
		if errors.Is(err, storage.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if c.Incarnation != part.Incarnation || c.FrontchannelLogoutURI == "" || len(list) == maxFrames {
			continue
		}
		u, err := url.Parse(c.FrontchannelLogoutURI)
		if err != nil {
			continue // it was checked when it was registered
		}
		if u.RawQuery != "" {
			u.RawQuery += "&"
		}
		u.RawQuery += url.Values{"iss": {h.config.Issuer}, "sid": {h.engine.SessionFor(c, part.SessionID)}}.Encode()
		list = append(list, pages.Frame{URL: u.String(), Client: readable(c.DisplayName(), 60)})
	}
	return list, nil
}

// roomFor returns the frames that there is room for. Those with the longest addresses are
// left out, so that no client keeps others from signing the person out.
func roomFor(list []pages.Frame) []pages.Frame {
	slices.SortStableFunc(list, func(a, b pages.Frame) int { return cmp.Compare(len(a.URL), len(b.URL)) })
	room := framesRoom
	for i, f := range list {
		encoded, _ := json.Marshal(f) // texts always encode
		if room -= len(encoded); room < 0 {
			return list[:i]
		}
	}
	return list
}
