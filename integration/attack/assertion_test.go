package attack

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// assertion is one of the robot's with these changes.
func (s *stage) assertion(head, changes map[string]any) string {
	now := s.now().Unix()
	claims := map[string]any{"iss": "robot", "sub": "robot", "aud": s.issuer, "jti": rand.Text(), "iat": now, "exp": now + 60}
	return sign(s.robot, with(map[string]any{"alg": "EdDSA", "kid": "one", "typ": "client-authentication+jwt"}, head), with(claims, changes))
}

func (s *stage) asserted(assertion string) *request {
	return post("/oauth/token", url.Values{"grant_type": {"client_credentials"}, "scope": {"notes:read"}, "client_assertion": {assertion}, "client_assertion_type": {assertionType}})
}

// assertionAttacks are on clients that sign. RFC 7523 §3, WB-03 to WB-07
func assertionAttacks() []attack {
	sound := func(s *stage) *request { return s.asserted(s.assertion(nil, nil)) }
	return []attack{
		{id: "WB-03", name: "only what the client signed for this server", play: func(p *play) {
			p.control("the right one", p.send(sound(p.stage)), gives("access_token"))
			now := p.now().Unix()
			for name, changes := range map[string]map[string]any{
				"the token endpoint of another": {"aud": "https://evil.test/token"}, "several": {"aud": []string{p.issuer, "https://evil.test"}}, "a list of one": {"aud": []string{p.issuer}}, "our token endpoint": {"aud": p.issuer + "/oauth/token"}, "our other endpoint": {"aud": p.issuer + "/oauth/par"}, "a slash": {"aud": p.issuer + "/"},
				"in capitals": {"aud": strings.ToUpper(p.issuer)}, "none": {"aud": nil}, "empty": {"aud": ""}, "a number": {"aud": 1}, "another iss": {"iss": "web"}, "another sub": {"sub": "web"}, "both of another": {"iss": "web", "sub": "web"}, "no iss": {"iss": nil}, "no sub": {"sub": nil}, "no exp": {"exp": nil}, "expired": {"exp": now - 120},
				"WB-05 for years": {"exp": 253402300799}, "an hour": {"exp": now + 3600}, "exp as text": {"exp": "99999999999"}, "exp huge": {"exp": 1e300}, "exp negative": {"exp": -1}, "from the future": {"iat": now + 600}, "nbf": {"nbf": now + 600}, "no jti": {"jti": nil}, "an empty jti": {"jti": ""}, "a huge jti": {"jti": strings.Repeat("a", 5000)}, "a jti that is a number": {"jti": 7},
			} {
				p.judge(name, p.send(p.asserted(p.assertion(nil, changes))), both(refused("invalid_client"), status(http.StatusUnauthorized)))
			}
			for name, head := range map[string]map[string]any{
				"typ of a request": {"typ": "oauth-authz-req+jwt"}, "typ of a proof": {"typ": "dpop+jwt"}, "typ of an access token": {"typ": "at+jwt"}, "typ of a logout token": {"typ": "logout+jwt"}, "another kid": {"kid": "two"}, "a kid that is a path": {"kid": "../../one"}, "a huge kid": {"kid": strings.Repeat("k", 5000)},
				"another alg": {"alg": "ES256"}, "HS256": {"alg": "HS256"}, "none": {"alg": "none"}, "crit": {"crit": []string{"x"}, "x": 1}, "b64": {"b64": false, "crit": []string{"b64"}}, "zip": {"zip": "DEF", "crit": []string{"zip"}},
			} {
				p.judge("head: "+name, p.send(p.asserted(p.assertion(head, nil))), refused("invalid_client"))
			}
			good := p.assertion(nil, nil)
			head, claims := claimsOf(good, 0), claimsOf(good, 1)
			for name, text := range map[string]string{
				"alg none": unsigned(with(head, map[string]any{"alg": "none"}), claims, ""), "another key": sign(newKey(), head, claims), "HS256 by the public key": hs256(with(head, map[string]any{"alg": "HS256"}), claims, string(jwks(p.robot))), "HS256 by nothing": hs256(with(head, map[string]any{"alg": "HS256"}), claims, ""),
				"empty": "..", "no JWT": "x", "JWE": "a.b.c.d.e", "an ID token": p.tokens("web").text("id_token"), "an access token": p.tokens("jwt").text("access_token"), "large": good + strings.Repeat("A", 20000), "of web, by its secret": hs256(map[string]any{"alg": "HS256"}, with(claims, map[string]any{"iss": "web", "sub": "web"}), secretOfWeb),
			} {
				p.judge(name, p.send(p.asserted(text)), refused("invalid_client", "invalid_request"))
			}
		}},
		{id: "mixed", name: "one kind of credentials", request: sound, works: gives("access_token"), verdict: refused("invalid_client", "invalid_request"), mutations: append(append(each("client_id", "web", "spa", "nobody"), each("client_assertion_type", "", "x", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer", strings.ToUpper(assertionType))...),
			mutation{name: "a secret too", change: set("client_secret", secretOfWeb)}, mutation{name: "Basic too", change: func(r *request) { r.as("web", secretOfWeb) }}, mutation{name: "twice", change: func(r *request) { r.form["client_assertion"] = append(r.form["client_assertion"], "x") }},
			mutation{name: "in the query", change: func(r *request) { r.query["client_assertion"] = r.form["client_assertion"] }})},
		{id: "WB-04", name: "an assertion is good once, also for twenty at once", play: func(p *play) {
			text := p.assertion(nil, nil)
			p.control("first", p.send(p.asserted(text)), gives("access_token"))
			p.judge("again", p.send(p.asserted(text)), refused("invalid_client"))
			again := p.asserted(text)
			again.path, again.form = "/oauth/introspect", url.Values{"token": {"x"}, "client_assertion": {text}, "client_assertion_type": {assertionType}}
			p.judge("elsewhere", p.send(again), refused("invalid_client"))
			for range 3 {
				text := p.assertion(nil, nil)
				if won := p.atOnce(20, func() *request { return p.asserted(text) }); won != 1 {
					p.t.Errorf("%d requests won", won)
				}
			}
		}},
		{id: "WB-06", name: "a jti is not used up by what is refused for its aud", play: func(p *play) {
			p.control("the right one", p.send(sound(p.stage)), gives("access_token"))
			jti := rand.Text()
			p.judge("another aud", p.send(p.asserted(p.assertion(nil, map[string]any{"jti": jti, "aud": "https://evil.test"}))), refused("invalid_client"))
			p.control("its jti", p.send(p.asserted(p.assertion(nil, map[string]any{"jti": jti}))), gives("access_token"))
		}},
	}
}

// holder proves to hold a key.
type holder struct {
	key *ecdsa.PrivateKey
	s   *stage
}

func (s *stage) holder() *holder {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	return &holder{key: key, s: s}
}

func (h *holder) proof(method, path, token string, head, changes map[string]any) string {
	point, err := h.key.PublicKey.Bytes()
	if err != nil {
		h.s.t.Fatal(err)
	}
	jwk := map[string]any{"kty": "EC", "crv": "P-256", "x": encoded(string(point[1:33])), "y": encoded(string(point[33:]))}
	claims := map[string]any{"jti": rand.Text(), "htm": method, "htu": h.s.issuer + path, "iat": h.s.now().Unix()}
	if token != "" {
		sum := sha256.Sum256([]byte(token))
		claims["ath"] = encoded(string(sum[:]))
	}
	input := encoded(inJSON(with(map[string]any{"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk}, head))) + "." + encoded(inJSON(with(claims, changes)))
	sum := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, h.key, sum[:])
	if err != nil {
		h.s.t.Fatal(err)
	}
	return input + "." + encoded(string(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)))
}

// proofAttacks are on tokens that are bound to a key. RFC 9449 §4.3, §5, §7, §11, WB-39
func proofAttacks() []attack {
	const at, user = "/oauth/token", "/oauth/userinfo"
	redeem := func(s *stage, proof string) *request {
		r := s.redeem("spa", s.codeFor("spa"))
		r.header.Set("DPoP", proof)
		return r
	}
	show := func(token, proof string) *request {
		r := get(user)
		r.header.Set("Authorization", "DPoP "+token)
		r.header.Set("DPoP", proof)
		return r
	}
	return []attack{
		{id: "proofs", name: "a proof is for one request, now, by its own key", play: func(p *play) {
			h := p.holder()
			p.control("the right one", p.send(redeem(p.stage, h.proof("POST", at, "", nil, nil))), gives("access_token"))
			now := p.now().Unix()
			other := p.holder()
			for name, c := range map[string]struct{ head, claims map[string]any }{
				"another method": {nil, map[string]any{"htm": "GET"}}, "no method": {nil, map[string]any{"htm": nil}}, "the method in small letters": {nil, map[string]any{"htm": "post"}}, "another server": {nil, map[string]any{"htu": "https://evil.test/oauth/token"}}, "another endpoint": {nil, map[string]any{"htu": p.issuer + user}}, "no URL": {nil, map[string]any{"htu": nil}},
				"a suffix": {nil, map[string]any{"htu": p.issuer + at + "/x"}}, "another case": {nil, map[string]any{"htu": p.issuer + "/oauth/TOKEN"}}, "old": {nil, map[string]any{"iat": now - 600}}, "new": {nil, map[string]any{"iat": now + 600}}, "no time": {nil, map[string]any{"iat": nil}}, "time as text": {nil, map[string]any{"iat": "x"}}, "no jti": {nil, map[string]any{"jti": nil}},
				"a huge jti": {nil, map[string]any{"jti": strings.Repeat("a", 5000)}}, "a made-up nonce": {nil, map[string]any{"nonce": "x"}}, "typ JWT": {map[string]any{"typ": "JWT"}, nil}, "no typ": {map[string]any{"typ": nil}, nil}, "none": {map[string]any{"alg": "none"}, nil}, "HS256": {map[string]any{"alg": "HS256"}, nil}, "no key": {map[string]any{"jwk": nil}, nil},
				"a symmetric key": {map[string]any{"jwk": map[string]any{"kty": "oct", "k": "AAAA"}}, nil}, "a private key": {map[string]any{"jwk": map[string]any{"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA", "d": "AAAA"}}, nil}, "a key off the curve": {map[string]any{"jwk": map[string]any{"kty": "EC", "crv": "P-256", "x": encoded(strings.Repeat("a", 32)), "y": encoded(strings.Repeat("a", 32))}}, nil},
				"the key of another": {map[string]any{"jwk": claimsOf(other.proof("POST", at, "", nil, nil), 0)["jwk"]}, nil}, "crit": {map[string]any{"crit": []string{"x"}, "x": 1}, nil},
			} {
				p.judge(name, p.send(redeem(p.stage, h.proof("POST", at, "", c.head, c.claims))), refused("invalid_dpop_proof", "use_dpop_nonce"))
			}
			for name, proof := range map[string]string{"garbage": "x", "empty parts": "..", "huge": strings.Repeat("a", 20000), "an assertion": p.assertion(nil, nil)} {
				p.judge(name, p.send(redeem(p.stage, proof)), refused("invalid_dpop_proof"))
			}
			r := redeem(p.stage, h.proof("POST", at, "", nil, nil))
			r.header["Dpop"] = append(r.header["Dpop"], r.header.Get("DPoP"))
			p.judge("two", p.send(r), refused("invalid_dpop_proof"))
		}},
		{id: "bound", name: "a bound token is of use with its key alone", play: func(p *play) {
			h, thief := p.holder(), p.holder()
			got := p.send(redeem(p.stage, h.proof("POST", at, "", nil, nil)))
			token := got.text("access_token")
			proof := h.proof("GET", user, token, nil, nil)
			p.control("the holder", p.send(show(token, proof)), gives("sub"))
			p.judge("a replay", p.send(show(token, proof)), refused("invalid_dpop_proof", "invalid_token"))
			p.judge("as a bearer token", p.send(bearer(token)), refused("invalid_token"))
			p.judge("another key", p.send(show(token, thief.proof("GET", user, token, nil, nil))), refused("invalid_token", "invalid_dpop_proof"))
			p.judge("no proof", p.send(show(token, "")), refused("invalid_token", "invalid_dpop_proof"))
			p.judge("no ath", p.send(show(token, h.proof("GET", user, "", nil, nil))), refused("invalid_token", "invalid_dpop_proof"))
			p.judge("another ath", p.send(show(token, h.proof("GET", user, token+"x", nil, nil))), refused("invalid_token", "invalid_dpop_proof"))
			p.judge("a proof of another endpoint", p.send(show(token, h.proof("POST", at, token, nil, nil))), refused("invalid_token", "invalid_dpop_proof"))
			refresh := p.refresh("spa", got.text("refresh_token"))
			p.judge("a refresh without a proof", p.send(refresh), refused("invalid_dpop_proof", "invalid_grant"))
			refresh.header.Set("DPoP", thief.proof("POST", at, "", nil, nil))
			p.judge("a refresh by another key", p.send(refresh), refused("invalid_grant"))
			refresh.header.Set("DPoP", h.proof("POST", at, "", nil, nil))
			p.control("a refresh by its own", p.send(refresh), gives("access_token"))
		}},
		{id: "dpop_jkt", name: "a code that began with a key is redeemed with it", play: func(p *play) {
			h := p.holder()
			p.control("without one", p.send(redeem(p.stage, h.proof("POST", at, "", nil, nil))), gives("access_token"))
			r := p.redeem("spa", p.codeFor("spa", set("dpop_jkt", strings.Repeat("A", 43))))
			r.header.Set("DPoP", h.proof("POST", at, "", nil, nil))
			p.judge("another key", p.send(r), refused("invalid_grant", "invalid_dpop_proof"))
			p.judge("no key", p.send(p.redeem("spa", p.codeFor("spa", set("dpop_jkt", strings.Repeat("A", 43))))), refused("invalid_grant", "invalid_dpop_proof"))
		}},
	}
}

// certificateAttacks forge the certificate that a proxy would pass on. RFC 8705 §6.5, WB-40
func certificateAttacks() []attack {
	return []attack{{id: "WB-40", name: "a header of somebody who is no proxy is not believed", play: func(p *play) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			p.t.Fatal(err)
		}
		template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "evil"}, NotAfter: time.Now().Add(time.Hour)}
		der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
		if err != nil {
			p.t.Fatal(err)
		}
		p.control("without", p.send(machine(p.stage)), gives("access_token"))
		structured, escaped := ":"+base64.StdEncoding.EncodeToString(der)+":", url.PathEscape(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
		for _, name := range []string{"Client-Cert", "X-Client-Cert", "X-Forwarded-Client-Cert", "X-Ssl-Cert", "Ssl-Client-Cert", "X-Amzn-Mtls-Clientcert", "X-Arr-Clientcert"} {
			for form, value := range map[string]string{"structured": structured, "escaped": escaped} {
				r := post("/oauth/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {"holder"}})
				r.header.Set(name, value)
				r.header.Set("X-Forwarded-For", "127.0.0.1")
				p.judge(name+" "+form, p.send(r), refused("invalid_client"))
				r = machine(p.stage)
				r.header.Set(name, value)
				a := p.send(r)
				p.control(name+" "+form+" with the secret", a, gives("access_token"))
				if told := p.send(introspect(api, secretOfAPI, a.text("access_token"))); told.field("cnf") != nil {
					p.t.Errorf("%s: the token is bound to what a header said: %s", name, told)
				}
			}
		}
	}}}
}
