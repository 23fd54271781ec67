package handlers

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/doorward/doorward/internal/opaque"
)

// maxInteractionCookies bounds what unfinished sign-ins leave in a browser.
const maxInteractionCookies = 8

// jar knows the names and flags of the cookies of one issuer. The names carry a
// hash of the issuer, so that two issuers on one host, whose paths the browser
// would not keep apart, do not meet. The issuer alone decides about Secure: what a
// proxy says of the connection does not matter.
type jar struct {
	prefix string
	secure bool
}

func newJar(issuer string) jar {
	sum := sha256.Sum256([]byte(issuer))
	j := jar{prefix: "dw_" + hex.EncodeToString(sum[:4]) + "_", secure: strings.HasPrefix(issuer, "https://")}
	if j.secure {
		j.prefix = "__Host-" + j.prefix // not to be planted by a sibling domain. RFC 6265bis §4.1.3.2
	}
	return j
}

func (j jar) cookie(name, value string, life time.Duration) *http.Cookie {
	return &http.Cookie{
		Name: j.prefix + name, Value: value, Path: "/", MaxAge: int(life.Seconds()),
		Secure: j.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
}

func (j jar) read(r *http.Request, name string) string {
	c, err := r.Cookie(j.prefix + name)
	if err != nil {
		return ""
	}
	return c.Value
}

func (j jar) drop(w http.ResponseWriter, name string) {
	c := j.cookie(name, "", 0)
	c.MaxAge = -1
	http.SetCookie(w, c)
}

const sessionCookie = "session"

// interactionCookie names the cookie of an interaction: the time it was made, so
// that the oldest is found, and enough of its ID to be the only one.
func interactionCookie(id string) string {
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(id, interactionPrefix))
	if err != nil || len(raw) < 12 {
		return ""
	}
	return "i_" + hex.EncodeToString(raw[:12])
}

// setInteraction gives the browser the secret of an interaction and takes the
// oldest ones away when there are too many.
func (j jar) setInteraction(w http.ResponseWriter, r *http.Request, id, secret string, life time.Duration) {
	name := interactionCookie(id)
	var others []string
	for _, c := range r.Cookies() {
		if other, ok := strings.CutPrefix(c.Name, j.prefix); ok && strings.HasPrefix(other, "i_") && other != name {
			others = append(others, other)
		}
	}
	slices.Sort(others) // by time
	for len(others) >= maxInteractionCookies {
		j.drop(w, others[0])
		others = others[1:]
	}
	http.SetCookie(w, j.cookie(name, secret, life))
}

// newSecret returns the value of a cookie: 256 random bits.
func newSecret() string { return base64.RawURLEncoding.EncodeToString(opaque.Random(32)) }

// secretHash is what is stored of it.
func secretHash(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}
