package integration

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"testing"
	"time"
)

// holder is a client that proves to hold a key, by the standard library alone.
type holder struct {
	site  *site
	now   func() time.Time
	key   *ecdsa.PrivateKey
	nonce string // of the last answer that gave one
}

func newHolder(t testing.TB, s *site, now func() time.Time) *holder {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &holder{site: s, now: now, key: key}
}

func (h *holder) jwk() map[string]string {
	point, err := h.key.PublicKey.Bytes()
	if err != nil {
		return nil
	}
	return map[string]string{"kty": "EC", "crv": "P-256", "x": encoded(string(point[1:33])), "y": encoded(string(point[33:]))}
}

// thumbprint is the jkt of the key. RFC 7638 §3
func (h *holder) thumbprint() string {
	k := h.jwk()
	sum := sha256.Sum256([]byte(`{"crv":"P-256","kty":"EC","x":"` + k["x"] + `","y":"` + k["y"] + `"}`))
	return encoded(string(sum[:]))
}

// proof makes a proof for a request, with these changes; a nil takes a claim away.
func (h *holder) proof(method, address, token string, changes map[string]any) string {
	claims := map[string]any{"jti": rand.Text(), "htm": method, "htu": address, "iat": h.now().Unix()}
	if token != "" {
		sum := sha256.Sum256([]byte(token))
		claims["ath"] = encoded(string(sum[:]))
	}
	if h.nonce != "" {
		claims["nonce"] = h.nonce
	}
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	header, err := json.Marshal(map[string]any{"typ": "dpop+jwt", "alg": "ES256", "jwk": h.jwk()})
	if err != nil {
		return err.Error()
	}
	body, err := json.Marshal(claims)
	if err != nil {
		return err.Error()
	}
	input := encoded(string(header)) + "." + encoded(string(body))
	sum := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, h.key, sum[:])
	if err != nil {
		return err.Error()
	}
	return input + "." + encoded(string(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)))
}

// post sends a form as a client, with a proof, none when it is "".
func (h *holder) post(t testing.TB, place, client, proof string, fields url.Values) *reply {
	t.Helper()
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	if proof != "" {
		header.Set("DPoP", proof)
	}
	sent := maps.Clone(fields)
	if c := h.site.clients[client]; c != nil && !c.Public() {
		header.Set("Authorization", basicHeader(c.ID, c.Secret))
	} else {
		sent.Set("client_id", client)
	}
	return h.note(answered(t)(send(&http.Client{Transport: h.site.transport}, http.MethodPost, h.site.endpoint(place), header, sent.Encode())))
}

// prove sends a form as a client, with a proof of its own.
func (h *holder) prove(t testing.TB, place, client string, fields url.Values) *reply {
	t.Helper()
	return h.post(t, place, client, h.proof(http.MethodPost, h.site.endpoint(place), "", nil), fields)
}

// show sends an access token to userinfo.
func (h *holder) show(t testing.TB, scheme, token, proof string) *reply {
	t.Helper()
	header := http.Header{"Authorization": {scheme + " " + token}}
	if proof != "" {
		header.Set("DPoP", proof)
	}
	return h.note(answered(t)(send(&http.Client{Transport: h.site.transport}, http.MethodGet, h.site.endpoint("userinfo"), header, "")))
}

func (h *holder) note(r *reply) *reply {
	if nonce := r.header.Get("DPoP-Nonce"); nonce != "" {
		h.nonce = nonce
	}
	return r
}

// redeem signs alice in and returns what the token endpoint takes for it.
func (h *holder) redeem(t testing.TB, client string, extra url.Values) url.Values {
	t.Helper()
	code, verifier, err := h.site.code(h.site.person(), client, "alice", extra)
	if err != nil {
		t.Fatal(err)
	}
	return url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {h.site.redirectURI(client)}, "code_verifier": {verifier}}
}

func refreshing(r *reply) url.Values {
	return url.Values{"grant_type": {"refresh_token"}, "refresh_token": {r.text("refresh_token")}}
}
