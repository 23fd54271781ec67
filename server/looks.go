package server

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// OpenID Connect Discovery §4.3, RFC 8414 §3.3
func (w *walk) lookAtIssuer() error {
	const name = "issuer"
	found := &problems{}
	site := resolveIssuer(w.issuer, found)
	if err := found.err(); err != nil {
		return w.stuck(name, "Config.Issuer, and the issuer that clients are configured with", "%s", strings.ReplaceAll(err.Error(), "server: Issuer: ", ""))
	}
	root, err := url.Parse(site.origin() + site.path)
	if err != nil {
		return w.stuck(name, "Config.Issuer", "%v", err)
	}
	w.root = root
	return w.fine(name)
}

func (w *walk) lookAtMetadata() error {
	const name = "metadata"
	address := w.issuer + "/.well-known/openid-configuration"
	r, err := w.get(address)
	switch {
	case err != nil:
		return w.stuck(name, "DNS, the firewall, the certificate or the proxy in front of the server", "%s can't be read: %v", address, err)
	case r.status/100 == 3:
		return w.stuck(name, "the proxy: it must serve this path itself, since clients do not follow", "%s", came(address, r))
	case r.status == http.StatusNotFound:
		return w.stuck(name, "the path of Config.Issuer, and where the server is mounted or the proxy forwards to", "%s", came(address, r))
	case r.status != http.StatusOK || r.media() != "application/json":
		return w.stuck(name, "the proxy in front of the server, or the server's log", "%s; clients expect 200 and application/json", came(address, r))
	}
	if err := json.Unmarshal(r.body, &w.metadata); err != nil {
		return w.stuck(name, "the proxy in front of the server", "%s is not JSON: %v", address, err)
	}
	w.answered = r
	if w.metadata.Issuer != w.issuer {
		return w.stuck(name, "Config.Issuer, or the issuer that clients are configured with: they compare every byte",
			"%s names the issuer %q, clients expect %q", address, w.metadata.Issuer, w.issuer)
	}
	return w.fine(name)
}

// lookAtOtherForms: OpenID clients append, OAuth clients insert, and each kind tries the
// other's. RFC 8414 §3.1, §5
func (w *walk) lookAtOtherForms() error {
	const name = "metadata in every form"
	origin, path := w.root.Scheme+"://"+w.root.Host, w.root.Path
	addresses := []string{origin + "/.well-known/oauth-authorization-server" + path}
	if path != "" {
		addresses = append(addresses, w.issuer+"/.well-known/oauth-authorization-server", origin+"/.well-known/openid-configuration"+path)
	}
	for _, address := range addresses {
		r, err := w.get(address)
		remedy := "the proxy: forward /.well-known/ at the root of the host to the server, beside the path of the issuer"
		if err != nil {
			return w.wrong(name, remedy, "%s can't be read: %v", address, err)
		}
		var other told
		if r.status != http.StatusOK || json.Unmarshal(r.body, &other) != nil {
			return w.wrong(name, remedy, "%s; clients expect the metadata there too", came(address, r))
		}
		if other.Issuer != w.issuer {
			return w.wrong(name, remedy, "%s names the issuer %q: another server answers there", address, other.Issuer)
		}
	}
	return w.fine(name)
}

func (w *walk) lookAtEndpoints() error {
	const name = "endpoints"
	origin := w.root.Scheme + "://" + w.root.Host
	for _, endpoint := range []struct{ field, address string }{
		{"authorization_endpoint", w.metadata.Authorize}, {"token_endpoint", w.metadata.Token}, {"userinfo_endpoint", w.metadata.UserInfo}, {"jwks_uri", w.metadata.JWKS},
	} {
		if !strings.HasPrefix(endpoint.address, origin+"/") {
			return w.stuck(name, "Config.Issuer, or a proxy that rewrites answers", "%s is %q, which is not on %s", endpoint.field, endpoint.address, origin)
		}
	}
	return w.fine(name)
}

// lookAtClock: tokens are judged by the clocks of two machines.
func (w *walk) lookAtClock() error {
	const name = "clock"
	date, err := http.ParseTime(w.answered.header.Get("Date"))
	if err != nil {
		return w.wrong(name, "the proxy: let the Date header through", "the answer has no Date")
	}
	if apart := time.Since(date).Round(time.Second); apart.Abs() > time.Minute {
		return w.wrong(name, "the clocks of the server and of this machine (NTP)", "the server's clock is %s apart from the one here; tokens would be too old or not valid yet", apart.Abs())
	}
	return w.fine(name)
}

// lookAtOrigins: applications in a browser read the metadata and ask before they post.
func (w *walk) lookAtOrigins() error {
	const name = "other origins"
	const remedy = "the proxy: it must not add, change or answer CORS headers for the server"
	from := http.Header{"Origin": {"https://app.example"}}
	r, err := w.send(http.MethodGet, w.issuer+"/.well-known/openid-configuration", from, nil)
	if err != nil {
		return w.wrong(name, remedy, "the metadata can't be read: %v", err)
	}
	if allowed := r.header.Values("Access-Control-Allow-Origin"); len(allowed) != 1 || allowed[0] != "*" {
		return w.wrong(name, remedy, "the metadata come with Access-Control-Allow-Origin %q, not with one *", allowed)
	}
	from.Set("Access-Control-Request-Method", http.MethodPost)
	from.Set("Access-Control-Request-Headers", "authorization,content-type,dpop")
	r, err = w.send(http.MethodOptions, w.metadata.Token, from, nil)
	switch {
	case err != nil:
		return w.wrong(name, remedy, "the preflight of the token endpoint fails: %v", err)
	case r.status/100 != 2 || r.header.Get("Access-Control-Allow-Origin") == "" || !strings.Contains(r.header.Get("Access-Control-Allow-Methods"), http.MethodPost):
		return w.wrong(name, remedy, "the preflight of the token endpoint is refused: %s", came(w.metadata.Token, r))
	case r.header.Get("Access-Control-Allow-Credentials") != "":
		return w.wrong(name, remedy, "the token endpoint lets other origins send cookies")
	}
	return w.fine(name)
}

// lookAtKeys: clients keep the keys, and must hear of new ones in time. RFC 7517 §5
func (w *walk) lookAtKeys() error {
	const name = "keys"
	r, err := w.get(w.metadata.JWKS)
	if err != nil || r.status != http.StatusOK {
		if err == nil {
			return w.wrong(name, "the proxy, or the server's log", "%s; no token can be verified", came(w.metadata.JWKS, r))
		}
		return w.wrong(name, "the proxy, or the server's log", "%s can't be read: %v", w.metadata.JWKS, err)
	}
	var set struct {
		Keys []struct {
			KeyID     string `json:"kid"`
			Algorithm string `json:"alg"`
			Use       string `json:"use"`
		} `json:"keys"`
	}
	if json.Unmarshal(r.body, &set) != nil || len(set.Keys) == 0 {
		return w.wrong(name, "the proxy, or the server's log", "%s holds no key set", w.metadata.JWKS)
	}
	for _, k := range set.Keys {
		if k.KeyID == "" || k.Algorithm == "" || k.Use != "sig" {
			return w.wrong(name, "a proxy that rewrites answers", "a key lacks kid, alg or use: %+v", k)
		}
	}
	if life := maxAge(r.header.Get("Cache-Control")); life <= 0 || life > 7*24*time.Hour {
		return w.wrong(name, "the proxy: leave Cache-Control as the server sends it (Config.Keys.CacheTime)",
			"the keys come with Cache-Control %q; clients would ask every time, or miss a rotation", r.header.Get("Cache-Control"))
	}
	if r.header.Get("Set-Cookie") != "" {
		return w.wrong(name, "the proxy: set no cookie on the server's answers", "the keys come with a cookie, so that no cache keeps them")
	}
	return w.fine(name)
}

func maxAge(control string) time.Duration {
	for directive := range strings.SplitSeq(control, ",") {
		if n, ok := strings.CutPrefix(strings.TrimSpace(directive), "max-age="); ok {
			s, err := strconv.Atoi(n)
			if err == nil {
				return time.Duration(s) * time.Second
			}
		}
	}
	return 0
}

// RFC 9700 §2.1.1, RFC 9207 §3
func (w *walk) lookAtPKCE() error {
	const name = "PKCE and issuer in answers"
	switch {
	case !slices.Contains(w.metadata.PKCE, "S256") || slices.Contains(w.metadata.PKCE, "plain"):
		return w.wrong(name, "a proxy that rewrites answers, or another server", "code_challenge_methods_supported is %q; clients look for S256 alone", w.metadata.PKCE)
	case !w.metadata.NamesIssuer:
		return w.wrong(name, "a proxy that rewrites answers, or another server", "authorization_response_iss_parameter_supported is not true; clients of several servers could be mixed up")
	}
	return w.fine(name)
}

// lookAtToken asks with credentials that nobody has: what comes back tells whether the
// header arrived. RFC 6749 §5.2
func (w *walk) lookAtToken() error {
	const name = "token endpoint"
	r, err := w.send(http.MethodPost, w.metadata.Token, http.Header{"Authorization": {"Basic ZGlhZ25vc2U6ZGlhZ25vc2U="}}, url.Values{"grant_type": {"client_credentials"}})
	if err != nil {
		return w.wrong(name, "the proxy", "%s can't be reached: %v", w.metadata.Token, err)
	}
	code, reason := oauthError(r)
	switch {
	case code == "":
		return w.wrong(name, "the proxy: forward POST requests to the server, and its answers unchanged", "%s; clients expect JSON", came(w.metadata.Token, r))
	case reason == "client_missing":
		return w.wrong(name, "the proxy: forward the Authorization header", "the Authorization header does not reach the server; clients with a secret can't prove who they are")
	case code == "temporarily_unavailable":
		return w.wrong(name, "the server's log: it can't reach its store", "the server says %s", code)
	case r.status != http.StatusUnauthorized || code != "invalid_client" || r.header.Get("WWW-Authenticate") == "":
		return w.wrong(name, "the proxy: leave status and WWW-Authenticate as they are", "an unknown client is answered %d %s, WWW-Authenticate %q", r.status, code, r.header.Get("WWW-Authenticate"))
	case !strings.Contains(r.header.Get("Cache-Control"), "no-store"):
		return w.wrong(name, "the proxy: leave Cache-Control as it is", "the answers may be kept by a cache: Cache-Control is %q", r.header.Get("Cache-Control"))
	}
	return w.fine(name)
}

// RFC 6750 §3
func (w *walk) lookAtUserInfo() error {
	const name = "userinfo"
	r, err := w.send(http.MethodGet, w.metadata.UserInfo, http.Header{"Authorization": {"Bearer diagnose"}}, nil)
	switch {
	case err != nil:
		return w.wrong(name, "the proxy", "%s can't be reached: %v", w.metadata.UserInfo, err)
	case r.status != http.StatusUnauthorized || !strings.Contains(r.header.Get("WWW-Authenticate"), "Bearer"):
		return w.wrong(name, "the proxy: leave status and WWW-Authenticate as they are, and do not ask for a password", "a wrong token is answered %d, WWW-Authenticate %q", r.status, r.header.Get("WWW-Authenticate"))
	}
	if _, reason := oauthError(r); reason == "token_missing" {
		return w.wrong(name, "the proxy: forward the Authorization header", "the Authorization header does not reach the server")
	}
	return w.fine(name)
}

// lookAtAuthorize opens the endpoint as a browser would, without a request: a page of the
// server's must come back, with its own headers.
func (w *walk) lookAtAuthorize() error {
	const name = "pages"
	r, err := w.send(http.MethodGet, w.metadata.Authorize, http.Header{"Accept": {"text/html"}}, nil)
	switch {
	case err != nil:
		return w.wrong(name, "the proxy", "%s can't be reached: %v", w.metadata.Authorize, err)
	case r.status != http.StatusBadRequest || r.media() != "text/html":
		return w.wrong(name, "the proxy: leave error pages as they are, and ask for no sign-in of its own", "%s; a page of the server should say what is missing", came(w.metadata.Authorize, r))
	}
	policy := strings.Join(r.header.Values("Content-Security-Policy"), ", ")
	switch {
	case !strings.Contains(policy, "frame-ancestors 'none'"):
		return w.wrong(name, "the proxy: leave Content-Security-Policy as it is", "the pages may be framed by other sites: Content-Security-Policy is %q", policy)
	case strings.Contains(policy, "form-action"):
		return w.wrong(name, "the proxy: add no form-action to Content-Security-Policy", "browsers apply form-action to the redirect after a form, so nobody could return to an application: %q", policy)
	}
	return w.fine(name)
}
