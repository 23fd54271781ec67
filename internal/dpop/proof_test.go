package dpop_test

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/doorward/doorward/internal/dpop"
)

// RFC 9449 §4.2, §4.3, §5.1, RFC 7515 §4.1.3
func TestProofs(t *testing.T) {
	thumbprints := map[string]bool{}
	for name, m := range makers(t) {
		p, d := dpop.Read(request(m.proof(t, nil, map[string]any{"nonce": "n", "iat": float64(now.Unix()) + 0.5})), now)
		if d != nil {
			t.Errorf("%s: %v", name, d)
			continue
		}
		if p.JTI != "one" || p.Nonce != "n" || len(p.Thumbprint) != 43 || !p.IssuedAt.Equal(now.Add(time.Second/2)) {
			t.Errorf("%s: %+v", name, p)
		}
		thumbprints[p.Thumbprint] = true
	}
	if len(thumbprints) != 3 { // RS256 and PS256 share a key
		t.Errorf("%d thumbprints of 3 keys", len(thumbprints))
	}
	if p, d := dpop.Read(request(), now); p != nil || d != nil {
		t.Errorf("no header: %v, %v", p, d)
	}
	// The example of RFC 9449 §4.1, whose thumbprint stands in RFC 9449 §6.1.
	example := "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19" +
		".eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ" +
		".2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
	p, d := dpop.Read(dpop.Request{Proofs: []string{example}, Method: "POST", URLs: []string{"https://server.example.com/token"}}, time.Unix(1562262620, 0))
	if d != nil || p.Thumbprint != "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" || p.JTI != "-BwC3ESc6acc2lTc" {
		t.Errorf("the example of the RFC: %+v, %v", p, d)
	}
}

// RFC 9449 §4.3
func TestDefects(t *testing.T) {
	all := makers(t)
	es := all["ES256"]
	good := es.proof(t, nil, nil)
	parts := strings.Split(good, ".")
	with := func(member string, value any) map[string]any {
		jwk := map[string]any{member: value}
		for k, v := range es.jwk {
			if k != member {
				jwk[k] = v
			}
		}
		return map[string]any{"jwk": jwk}
	}
	claim := func(name string, value any) string { return es.proof(t, nil, map[string]any{name: value}) }
	header := func(name string, value any) string { return es.proof(t, map[string]any{name: value}, nil) }
	for _, c := range []struct {
		name, reason string
		proofs       []string
	}{
		{"two headers", "dpop_repeated", []string{good, good}},
		{"empty", "dpop_malformed", []string{""}},
		{"two proofs in one header", "dpop_malformed", []string{good + ", " + good}},
		{"two parts", "dpop_malformed", []string{parts[0] + "." + parts[1]}},
		{"padding", "dpop_malformed", []string{good + "="}},
		{"a line break", "dpop_malformed", []string{parts[0] + "\n." + parts[1] + "." + parts[2]}},
		{"too long", "dpop_malformed", []string{header("x", strings.Repeat("a", 9000))}},
		{"no typ", "dpop_type", []string{header("typ", nil)}},
		{"typ of an assertion", "dpop_type", []string{header("typ", "JWT")}},
		{"typ in capitals", "dpop_type", []string{header("typ", "DPOP+JWT")}},
		{"typ is no string", "dpop_malformed", []string{header("typ", 1)}},
		{"no alg", "dpop_malformed", []string{header("alg", nil)}},
		{"alg none", "dpop_algorithm", []string{header("alg", "none")}},
		{"alg HS256", "dpop_algorithm", []string{header("alg", "HS256")}},
		{"alg ES384", "dpop_algorithm", []string{header("alg", "ES384")}},
		{"alg of another key", "dpop_key", []string{header("alg", "RS256")}},
		{"crit", "dpop_malformed", []string{header("crit", []string{"x"})}},
		{"b64", "dpop_malformed", []string{header("b64", false)}},
		{"jku", "dpop_malformed", []string{header("jku", "https://evil.example/jwks")}},
		{"x5c", "dpop_malformed", []string{header("x5c", []string{"AA"})}},
		{"no jwk", "dpop_malformed", []string{header("jwk", nil)}},
		{"jwk is null", "dpop_malformed,dpop_key", []string{header("jwk", "x")}},
		{"a private part", "dpop_key", []string{es.proof(t, with("d", "AQAB"), nil)}},
		{"a symmetric key", "dpop_key", []string{header("jwk", map[string]any{"kty": "oct", "k": "AQAB"})}},
		{"a curve that is not used", "dpop_key", []string{es.proof(t, with("crv", "P-384"), nil)}},
		{"a point that is not on the curve", "dpop_key", []string{es.proof(t, with("x", encode(make([]byte, 32))), nil)}},
		{"a key for encryption", "dpop_key", []string{es.proof(t, with("use", "enc"), nil)}},
		{"a short key", "dpop_key", []string{all["RS256"].proof(t, map[string]any{"jwk": map[string]any{"kty": "RSA", "n": encode(append([]byte{0x80}, make([]byte, 127)...)), "e": "AQAB"}}, nil)}},
		{"the key of another", "dpop_signature", []string{header("jwk", makers(t)["ES256"].jwk)}},
		{"a changed payload", "dpop_signature", []string{parts[0] + "." + strings.Split(claim("jti", "two"), ".")[1] + "." + parts[2]}},
		{"no jti", "dpop_jti", []string{claim("jti", nil)}},
		{"empty jti", "dpop_jti", []string{claim("jti", "")}},
		{"a number as jti", "dpop_jti", []string{claim("jti", 1)}},
		{"long jti", "dpop_jti", []string{claim("jti", strings.Repeat("a", 129))}},
		{"no htm", "dpop_method", []string{claim("htm", nil)}},
		{"htm of another method", "dpop_method", []string{claim("htm", "GET")}},
		{"htm in small letters", "dpop_method", []string{claim("htm", "post")}},
		{"no htu", "dpop_url", []string{claim("htu", nil)}},
		{"htu of another host", "dpop_url", []string{claim("htu", "https://evil.example/oauth/token")}},
		{"htu of another path", "dpop_url", []string{claim("htu", "https://id.example/oauth/par")}},
		{"htu by http", "dpop_url", []string{claim("htu", "http://id.example/oauth/token")}},
		{"no iat", "dpop_time", []string{claim("iat", nil)}},
		{"iat as text", "dpop_time", []string{claim("iat", "1")}},
		{"iat below zero", "dpop_time", []string{claim("iat", -1)}},
		{"iat beyond all clocks", "dpop_time", []string{claim("iat", 1e300)}},
		{"old", "dpop_time", []string{claim("iat", now.Add(-dpop.MaxAge-time.Second).Unix())}},
		{"to come", "dpop_time", []string{claim("iat", now.Add(dpop.Leeway+time.Second).Unix())}},
		{"a number as nonce", "dpop_nonce", []string{claim("nonce", 1)}},
		{"a long nonce", "dpop_nonce", []string{claim("nonce", strings.Repeat("a", 129))}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, d := dpop.Read(request(c.proofs...), now)
			if d == nil || p != nil || !strings.Contains(c.reason, d.Reason) {
				t.Errorf("got %+v and %v, want %s", p, d, c.reason)
			}
		})
	}
}

// TestSameName: a second member of the same name is refused, in the header and in the
// claims, since two parsers could pick different ones.
func TestSameName(t *testing.T) {
	es := makers(t)["ES256"]
	parts := strings.Split(es.proof(t, nil, nil), ".")
	body := fmt.Sprintf(`{"jti":"a","jti":"b","htm":"POST","htu":%q,"iat":%d}`, endpoint, now.Unix())
	input := parts[0] + "." + encode([]byte(body))
	if _, d := dpop.Read(request(input+"."+encode(es.sign([]byte(input)))), now); d == nil || d.Reason != "dpop_malformed" {
		t.Errorf("two jti: %v", d)
	}
}

func TestHashOfTheToken(t *testing.T) {
	es := makers(t)["ES256"]
	sum := sha256.Sum256([]byte("token"))
	right := encode(sum[:])
	for ath, good := range map[any]bool{right: true, right[:42]: false, right + "=": false, "": false, nil: false, 1: false} {
		r := request(es.proof(t, nil, map[string]any{"ath": ath}))
		r.Token = "token"
		if _, d := dpop.Read(r, now); (d == nil) != good || d != nil && d.Reason != "dpop_token" {
			t.Errorf("ath %v: %v", ath, d)
		}
	}
}

// RFC 9449 §4.3, RFC 3986 §2.3, §6.2.2.2, §6.2.3
func TestURLs(t *testing.T) {
	es := makers(t)["EdDSA"]
	at := func(configured, sent string) bool {
		r := request(es.proof(t, nil, map[string]any{"htu": sent}))
		r.URLs = []string{"https://another.example/", configured}
		_, d := dpop.Read(r, now)
		return d == nil
	}
	for _, c := range []struct {
		configured, sent string
		same             bool
	}{
		{endpoint, "HTTPS://ID.example:443/oauth/token?a=b#c", true},
		{endpoint, "https://id.example/oauth/%74oken", true},
		{endpoint, "https://id.example/oauth/./x/../token", true},
		{endpoint, "https://id.example/oauth/token/", false},
		{endpoint, "https://id.example//oauth/token", false},
		{endpoint, "https://id.example/oauth%2ftoken", false},
		{endpoint, "https://id.example/OAUTH/token", false},
		{endpoint, "https://id.example:8443/oauth/token", false},
		{endpoint, "https://user@id.example/oauth/token", false},
		{endpoint, "https://id.example:/oauth/token", false},
		{endpoint, "/oauth/token", false},
		{"https://id.example", "https://id.example/", true},
		{"https://id.example/a%2Fb", "https://id.example/a%2fb", true},
		{"https://id.example/a/", "https://id.example/a/b/..", true},
		{"http://[::1]:8080/token", "http://[::1]:8080/token", true},
		{"http://127.0.0.1:80/token", "http://127.0.0.1/token", true},
	} {
		if got := at(c.configured, c.sent); got != c.same {
			t.Errorf("%s for %s: %v", c.sent, c.configured, got)
		}
	}
}

func TestNonces(t *testing.T) {
	mac := func(key string) func([]byte) []byte {
		return func(data []byte) []byte {
			sum := sha256.Sum256(append([]byte(key), data...))
			return sum[:]
		}
	}
	one, same, other := dpop.Nonces{MAC: mac("a")}, dpop.Nonces{MAC: mac("a")}, dpop.Nonces{MAC: mac("b")}
	begin := now.Truncate(2 * time.Minute)
	nonce := one.At(begin)
	if nonce != same.At(begin.Add(time.Minute)) || nonce == one.At(begin.Add(2*time.Minute)) || nonce == other.At(begin) {
		t.Error("a nonce is not that of its key and time")
	}
	for _, c := range []struct {
		after         time.Duration
		good, current bool
	}{{0, true, true}, {119 * time.Second, true, true}, {2 * time.Minute, true, false}, {239 * time.Second, true, false}, {4 * time.Minute, false, false}, {-time.Minute, true, true}, {-121 * time.Second, false, false}} {
		if good, current := same.Good(nonce, begin.Add(c.after)); good != c.good || current != c.current {
			t.Errorf("%s later: %v, %v", c.after, good, current)
		}
	}
	for _, wrong := range []string{"", "x", nonce + "A", other.At(begin)} {
		if good, _ := one.Good(wrong, begin); good {
			t.Errorf("%q is good", wrong)
		}
	}
}

func TestSeen(t *testing.T) {
	var s dpop.Seen
	p := &dpop.Proof{Thumbprint: "k", JTI: "one", IssuedAt: now}
	var first atomic.Int64
	var all sync.WaitGroup
	for range 64 {
		all.Go(func() {
			if s.First(p, now) {
				first.Add(1)
			}
		})
	}
	all.Wait()
	if first.Load() != 1 {
		t.Errorf("one proof came first %d times", first.Load())
	}
	if !s.First(&dpop.Proof{Thumbprint: "k2", JTI: "one", IssuedAt: now}, now) {
		t.Error("the jti of another key was taken for the same")
	}
	// As long as it could be used it is remembered, however the halves change.
	for age := time.Duration(0); age <= dpop.MaxAge; age += 10 * time.Second {
		if s.First(p, now.Add(age)) {
			t.Fatalf("forgotten after %s", age)
		}
		s.First(&dpop.Proof{Thumbprint: "k", JTI: fmt.Sprint(age), IssuedAt: now.Add(age)}, now.Add(age))
	}
	future := &dpop.Proof{Thumbprint: "k", JTI: "later", IssuedAt: now.Add(dpop.Leeway)}
	s.First(future, now)
	if s.First(future, future.IssuedAt.Add(dpop.MaxAge)) {
		t.Error("a proof of a clock that is ahead was forgotten")
	}
}

func TestSeenIsBounded(t *testing.T) {
	var s dpop.Seen
	for i := range 500_000 {
		s.First(&dpop.Proof{Thumbprint: "k", JTI: fmt.Sprint(i), IssuedAt: now}, now)
	}
	if s.First(&dpop.Proof{Thumbprint: "k", JTI: "499999", IssuedAt: now}, now) {
		t.Error("the newest was forgotten")
	}
	if !s.First(&dpop.Proof{Thumbprint: "k", JTI: "0", IssuedAt: now}, now) {
		t.Error("half a million are remembered: the memory is not bounded")
	}
}
