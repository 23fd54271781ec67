package handlers

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/doorward/doorward/storage"
)

// origins says which web pages may read an endpoint's answers. None of them ever
// sends cookies along. Fetch standard, CORS protocol
type origins int

const (
	noOrigin      origins = iota
	anyOrigin             // what is public anyway
	clientOrigins         // any may ask, only an origin of the client's redirect URIs reads the answer
)

func preflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && r.Header.Get("Origin") != "" && r.Header.Get("Access-Control-Request-Method") != ""
}

// answerPreflight allows the request to be sent. Who sends it is not known yet,
// so the answer is the same for all.
func (h *Handlers) answerPreflight(w http.ResponseWriter, r *http.Request, rule rule) {
	header := w.Header()
	if rule.origins == anyOrigin {
		header.Set("Access-Control-Allow-Origin", "*")
	} else {
		header.Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
		header.Add("Vary", "Origin")
	}
	header.Set("Access-Control-Allow-Methods", strings.Join(rule.methods, ", "))
	header.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, DPoP, MCP-Protocol-Version")
	header.Set("Access-Control-Max-Age", "7200")
	w.WriteHeader(http.StatusNoContent)
}

// allowOrigin lets the page that sent the request read the answer when it is one
// of the client's.
func (h *Handlers) allowOrigin(ctx context.Context, w http.ResponseWriter, r *http.Request, clientID string) {
	origin := r.Header.Get("Origin")
	if origin == "" || clientID == "" {
		return
	}
	w.Header().Add("Vary", "Origin")
	client, err := h.config.Client(ctx, clientID)
	if err != nil || !ownsOrigin(client, origin) {
		return
	}
	w.Header().Set("Access-Control-Allow-Origin", origin)
	w.Header().Set("Access-Control-Expose-Headers", "DPoP-Nonce, WWW-Authenticate, Retry-After")
}

func ownsOrigin(client *storage.Client, origin string) bool {
	from, err := url.Parse(origin)
	if err != nil || from.Host == "" || from.User != nil || from.Path != "" || from.Scheme != "http" && from.Scheme != "https" {
		return false
	}
	for _, registered := range client.RedirectURIs {
		u, err := url.Parse(registered)
		if err != nil || !strings.EqualFold(u.Scheme, from.Scheme) {
			continue
		}
		if strings.EqualFold(hostPort(u), hostPort(from)) {
			return true
		}
		// The port of a loopback redirect is free. RFC 8252 §7.3
		if loopback(u.Hostname()) && strings.EqualFold(u.Hostname(), from.Hostname()) {
			return true
		}
	}
	return false
}

// hostPort returns host and port, the default port filled in.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// loopback says whether a host names this machine. RFC 8252 §7.3
func loopback(host string) bool {
	return strings.EqualFold(host, "localhost") || host == "127.0.0.1" || host == "::1"
}
